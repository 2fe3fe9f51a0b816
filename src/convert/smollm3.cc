// SmolLM3: Llama's layers, of which every fourth has no rotary embedding (NoPE).
#include "base/error.h"
#include "convert/architectures.h"
#include "convert/json.h"

namespace sinter::convert {
namespace {

// Returns which layers have a rotary embedding. Despite its name, the field no_rope_layers holds 1
// for a layer with it and 0 for one without.
std::vector<bool> TurningLayers(const HfConfig& config) {
  std::vector<bool> turning;
  if (config.Find("no_rope_layers") != nullptr) {
    for (const int64_t layer : GetInts(config.json, "no_rope_layers", config.file)) {
      turning.push_back(layer != 0);
    }
  } else {
    const int64_t interval = config.Int("no_rope_layer_interval", 4);
    if (interval < 1) {
      throw Error("convert", "{}: no_rope_layer_interval: got {}, want 1 or more", config.file,
                  interval);
    }
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      turning.push_back((layer + 1) % interval != 0);
    }
  }
  if (turning.size() < static_cast<size_t>(config.layers)) {
    throw Error("convert", "{}: no_rope_layers: got {} numbers, want {}", config.file,
                turning.size(), config.layers);
  }
  return turning;
}

}  // namespace

void BuildSmolLm3(Decoder& m) {
  const HfConfig& config = m.config();
  config.WantSilu();
  const bool bias = config.Flag("attention_bias", false);
  const bool mlp_bias = config.Flag("mlp_bias", false);
  const bool windows = config.Flag("use_sliding_window", false) && config.sliding_window;
  const std::vector<bool> turning = TurningLayers(config);
  const std::vector<bool> sliding =
      config.SlidingLayers(windows, [&](int64_t layer) { return windows && !turning[layer]; });

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    Decoder::AttentionOptions attention = {.qkv_bias = bias, .output_bias = bias};
    if (turning[layer]) attention.rotary = &rotary;
    if (sliding[layer]) attention.window = config.sliding_window;
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"), attention));
    m.Add(m.GatedMlp(layer, m.Norm(layer, "post_attention_layernorm"), {.bias = mlp_bias}));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

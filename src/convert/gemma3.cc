// Gemma 3 (text): scaled embeddings, and f32 norms before and after attention and MLP. Five layers
// with a sliding window and their own rotary frequencies alternate with one full-context layer.
#include <cmath>

#include "base/error.h"
#include "convert/architectures.h"
#include "convert/json.h"

namespace sinter::convert {
namespace {

std::vector<bool> SlidingLayers(const HfConfig& config) {
  if (!config.sliding_layers.empty()) return config.sliding_layers;
  const int64_t pattern = config.Int("sliding_window_pattern", 6);
  if (pattern < 1) {
    throw Error("convert", "{}: sliding_window_pattern: got {}, want 1 or more", config.file,
                pattern);
  }
  std::vector<bool> sliding;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    sliding.push_back((layer + 1) % pattern != 0);
  }
  return sliding;
}

RopeConfig LocalRope(const HfConfig& config) {
  const double theta = config.Double("rope_local_base_freq", 10000);
  const nlohmann::json* both = FindField(config.json, "rope_parameters");
  const nlohmann::json* local = both ? FindField(*both, "sliding_attention") : nullptr;
  return ParseRope(local ? *local : nlohmann::json::object(), config, theta);
}

}  // namespace

void BuildGemma3(Decoder& m) {
  const HfConfig& config = m.config();
  config.Want("hidden_activation", "gelu_pytorch_tanh");
  config.Want("attention_bias", false);
  config.Want("use_bidirectional_attention", false);
  const std::vector<bool> sliding = SlidingLayers(config);
  if (!config.sliding_window) {
    throw Error("convert", "{}: sliding_window: got none, want one", config.file);
  }
  const double scalar =
      config.Double("query_pre_attn_scalar", static_cast<double>(config.head_size));
  if (!(scalar > 0)) {
    throw Error("convert", "{}: query_pre_attn_scalar: got {}, want more than 0", config.file,
                scalar);
  }
  const NormOptions norm = {.gemma = true};

  m.Embed(std::sqrt(static_cast<double>(config.hidden)));
  Decoder::Rotary local, global;
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    Decoder::Rotary& rotary = sliding[layer] ? local : global;
    if (rotary.cos == nullptr) {
      rotary = sliding[layer] ? m.RotaryCaches(LocalRope(config), "_local")
                              : m.RotaryCaches(config.rope, "_global");
    }
    Decoder::AttentionOptions attention = {.rotary = &rotary,
                                           .qk_norm = true,
                                           .gemma_norm = true,
                                           .scale = 1 / std::sqrt(scalar),
                                           .softcap = config.Double("attn_logit_softcapping", 0)};
    if (sliding[layer]) attention.window = config.sliding_window;
    Decoder::Value* x = m.Attention(layer, m.Norm(layer, "input_layernorm", norm), attention);
    m.Add(m.BranchNorm(layer, "post_attention_layernorm", x, norm));
    x = m.GatedMlp(layer, m.Norm(layer, "pre_feedforward_layernorm", norm), {.gelu = true});
    m.Add(m.BranchNorm(layer, "post_feedforward_layernorm", x, norm));
  }
  m.Head(m.FinalNorm(norm), config.Double("final_logit_softcapping", 0));
}

}  // namespace sinter::convert

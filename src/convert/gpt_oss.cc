// gpt-oss: attention with sinks and biases, a sliding window in every other layer, and experts with
// a clamped SwiGLU. The published checkpoints hold the experts as MXFP4.
#include "base/error.h"
#include "convert/architectures.h"

namespace sinter::convert {
namespace {

Decoder::Experts GptOssExperts(Decoder& m, int64_t layer) {
  const HfConfig& config = m.config();
  const std::string from = Decoder::LayerPrefix(layer) + "mlp.";
  Decoder::Experts experts;
  experts.router = from + "router";
  experts.router_bias = true;
  experts.count = config.Int("num_local_experts", {}, kMaxExperts);
  experts.chosen = config.Int("num_experts_per_tok", config.Int("experts_per_token", 4));
  config.Want("experts_per_token", experts.chosen);
  experts.intermediate = config.intermediate;
  experts.alpha = static_cast<float>(config.Double("swiglu_alpha", 1.702));
  experts.beta = 1;
  experts.limit = static_cast<float>(config.Double("swiglu_limit", 7));
  // Output features are rows of the packed (MXFP4) tensor, but columns of the plain one.
  const auto matrix = [&](const std::string& name, int64_t rows, int64_t columns) {
    return m.weights().Has(name + "_blocks")
               ? m.weights().Mxfp4(name, experts.count, rows, columns)
               : m.weights().Columns(name, experts.count, rows, columns);
  };
  const std::string gate_up = from + "experts.gate_up_proj", down = from + "experts.down_proj";
  experts.gate_up = matrix(gate_up, 2 * config.intermediate, config.hidden);
  experts.down = matrix(down, config.hidden, config.intermediate);
  experts.gate_up_bias =
      m.weights().Vector(gate_up + "_bias", experts.count * 2 * config.intermediate, 0, 0.05);
  experts.down_bias = m.weights().Vector(down + "_bias", experts.count * config.hidden, 0, 0.05);
  return experts;
}

}  // namespace

void BuildGptOss(Decoder& m) {
  const HfConfig& config = m.config();
  config.WantSilu();
  config.Want("norm_topk_prob", true);
  if (config.Find("rope_parameters") == nullptr && config.Find("rope_scaling") == nullptr) {
    throw Error("convert", "{}: rope_scaling: got none, want gpt-oss's parameters (yarn)",
                config.file);
  }
  const bool bias = config.Flag("attention_bias", true);
  const std::vector<bool> sliding = config.SlidingLayers(
      config.sliding_window.has_value(), [](int64_t layer) { return layer % 2 == 0; });

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    Decoder::AttentionOptions attention = {
        .rotary = &rotary, .qkv_bias = bias, .output_bias = bias, .sinks = true};
    if (sliding[layer]) attention.window = config.sliding_window;
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"), attention));
    m.Add(m.MixtureOfExperts(layer, m.Norm(layer, "post_attention_layernorm"),
                             GptOssExperts(m, layer)));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

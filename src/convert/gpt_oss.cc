// gpt-oss: attention with sinks and biases, a sliding window in every other layer, and experts with
// a clamped SwiGLU. The published checkpoints hold the experts as MXFP4.
#include "convert/architectures.h"

namespace sinter::convert {
namespace {

Decoder::Experts GptOssExperts(Decoder& m, int64_t layer) {
  const HfConfig& config = m.config();
  const std::string from = Decoder::LayerPrefix(layer) + "mlp.";
  Decoder::Experts experts;
  experts.router = from + "router";
  experts.router_bias = true;
  experts.count = config.Int("num_local_experts");
  experts.chosen = config.Int("num_experts_per_tok", config.Int("experts_per_token", 4));
  experts.intermediate = config.intermediate;
  experts.alpha = 1.702f;
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
  config.Want("hidden_act", "silu");

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    const bool slides =
        config.sliding_layers.empty() ? layer % 2 == 0 : config.sliding_layers[layer];
    Decoder::AttentionOptions attention = {
        .rotary = &rotary, .qkv_bias = true, .output_bias = true, .sinks = true};
    if (slides) attention.window = config.sliding_window;
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"), attention));
    m.Add(m.MixtureOfExperts(layer, m.Norm(layer, "post_attention_layernorm"),
                             GptOssExperts(m, layer)));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

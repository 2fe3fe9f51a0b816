// Qwen3-MoE: Qwen3's attention, and a mixture of experts in place of the MLP.
#include "base/error.h"
#include "convert/architectures.h"

namespace sinter::convert {
namespace {

// Stacks the experts' projections: the checkpoint has separate gate, up and down tensors for each.
Decoder::Experts Qwen3Experts(Decoder& m, int64_t layer) {
  const HfConfig& config = m.config();
  const std::string from = Decoder::LayerPrefix(layer) + "mlp.";
  Decoder::Experts experts;
  experts.router = from + "gate";
  experts.count = config.Int("num_experts");
  experts.chosen = config.Int("num_experts_per_tok");
  experts.intermediate = config.Int("moe_intermediate_size");
  experts.normalize = config.Flag("norm_topk_prob", false);
  std::vector<Matrix> gate_up, down;
  for (int64_t expert = 0; expert < experts.count; ++expert) {
    const auto rows = [&](const char* name, int64_t count, int64_t columns) {
      return m.weights().Rows(fmt::format("{}experts.{}.{}.weight", from, expert, name), count,
                              columns);
    };
    gate_up.push_back(Interleave(rows("gate_proj", experts.intermediate, config.hidden),
                                 rows("up_proj", experts.intermediate, config.hidden)));
    down.push_back(rows("down_proj", config.hidden, experts.intermediate));
  }
  experts.gate_up = Stack(std::move(gate_up));
  experts.down = Stack(std::move(down));
  return experts;
}

}  // namespace

void BuildQwen3Moe(Decoder& m) {
  const HfConfig& config = m.config();
  config.Want("hidden_act", "silu");
  config.Want("decoder_sparse_step", 1);
  config.Want("mlp_only_layers", nlohmann::json::array());
  config.Want("use_sliding_window", false);
  const bool bias = config.Flag("attention_bias", false);

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"),
                      {.rotary = &rotary, .qk_norm = true, .qkv_bias = bias, .output_bias = bias}));
    m.Add(m.MixtureOfExperts(layer, m.Norm(layer, "post_attention_layernorm"),
                             Qwen3Experts(m, layer)));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

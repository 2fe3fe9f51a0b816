// Qwen3-MoE: Qwen3's attention, and a mixture of experts in place of the MLP, but for the layers
// that config.json names.
#include "base/error.h"
#include "convert/architectures.h"
#include "convert/json.h"

namespace sinter::convert {
namespace {

// Newer files call the number of experts num_local_experts.
int64_t ExpertCount(const HfConfig& config) {
  if (config.Find("num_experts") == nullptr) {
    return config.Int("num_local_experts", {}, kMaxExperts);
  }
  const int64_t count = config.Int("num_experts", {}, kMaxExperts);
  config.Want("num_local_experts", count);
  return count;
}

// Returns for each layer whether it has experts: every decoder_sparse_step-th, except those that
// mlp_only_layers lists.
std::vector<bool> ExpertLayers(const HfConfig& config) {
  const int64_t step = config.Int("decoder_sparse_step", 1);
  if (step < 1) {
    throw Error("convert", "{}: decoder_sparse_step: got {}, want 1 or more", config.file, step);
  }
  std::vector<bool> experts;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    experts.push_back((layer + 1) % step == 0);
  }
  if (config.Find("mlp_only_layers") == nullptr) return experts;
  for (const int64_t layer : GetInts(config.json, "mlp_only_layers", config.file)) {
    if (layer >= 0 && layer < config.layers) experts[layer] = false;
  }
  return experts;
}

// Returns what all layers' experts have in common.
Decoder::Experts SharedExperts(const HfConfig& config) {
  Decoder::Experts experts;
  experts.count = ExpertCount(config);
  experts.chosen = config.Int("num_experts_per_tok");
  experts.intermediate = config.Int("moe_intermediate_size");
  experts.normalize = config.Flag("norm_topk_prob", false);
  return experts;
}

// Stacks the experts' projections: the checkpoint has separate gate, up and down tensors for each.
Decoder::Experts Qwen3Experts(Decoder& m, int64_t layer, Decoder::Experts experts) {
  const HfConfig& config = m.config();
  const std::string from = Decoder::LayerPrefix(layer) + "mlp.";
  experts.router = from + "gate";
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
  config.WantSilu();
  config.Want("use_sliding_window", false);
  config.SlidingLayers(false, [](int64_t) { return false; });
  const std::vector<bool> experts = ExpertLayers(config);
  const Decoder::Experts shared = SharedExperts(config);
  const bool bias = config.Flag("attention_bias", false);

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"),
                      {.rotary = &rotary, .qk_norm = true, .qkv_bias = bias, .output_bias = bias}));
    Decoder::Value* x = m.Norm(layer, "post_attention_layernorm");
    m.Add(experts[layer] ? m.MixtureOfExperts(layer, x, Qwen3Experts(m, layer, shared))
                         : m.GatedMlp(layer, x));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

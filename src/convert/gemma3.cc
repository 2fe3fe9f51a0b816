// Gemma 3 (text): scaled embeddings, and f32 norms before and after attention and MLP. Five layers
// with a sliding window and their own rotary frequencies alternate with one full-context layer.
#include <cmath>

#include "base/error.h"
#include "convert/architectures.h"

namespace sinter::convert {
namespace {

std::vector<bool> GemmaSlidingLayers(const HfConfig& config) {
  if (!config.sliding_window) {
    throw Error("convert", "{}: sliding_window: got none, want one", config.file);
  }
  const int64_t pattern = config.Int("sliding_window_pattern", 6);
  if (pattern < 1) {
    throw Error("convert", "{}: sliding_window_pattern: got {}, want 1 or more", config.file,
                pattern);
  }
  return config.SlidingLayers(true, [&](int64_t layer) { return (layer + 1) % pattern != 0; });
}

}  // namespace

void BuildGemma3(Decoder& m) {
  const HfConfig& config = m.config();
  config.Want("hidden_activation", "gelu_pytorch_tanh");
  config.Want("attention_bias", false);
  config.Want("use_bidirectional_attention", false);
  // transformers reads this field and does not use it.
  config.Want("attn_logit_softcapping", 0);
  const std::vector<bool> sliding = GemmaSlidingLayers(config);
  if (!config.sliding_window) {
    throw Error("convert", "{}: sliding_window: got none, want one", config.file);
  }
  const double scalar = config.Double("query_pre_attn_scalar", 256);
  if (!(scalar > 0)) {
    throw Error("convert", "{}: query_pre_attn_scalar: got {}, want more than 0", config.file,
                scalar);
  }
  const RopeConfig local_rope = ReadSlidingRope(config, "rope_local_base_freq", 10000);
  if (local_rope.rotary_dim != config.head_size || config.rope.rotary_dim != config.head_size) {
    throw Error("convert", "{}: partial_rotary_factor: got one, want none: gemma3_text has none",
                config.file);
  }
  const NormOptions norm = {.gemma = true};

  m.Embed(std::sqrt(static_cast<double>(config.hidden)));
  Decoder::Rotary local, global;
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    Decoder::Rotary& rotary = sliding[layer] ? local : global;
    if (rotary.cos == nullptr) {
      rotary = sliding[layer] ? m.RotaryCaches(local_rope, "_local")
                              : m.RotaryCaches(config.rope, "_global");
    }
    Decoder::AttentionOptions attention = {
        .rotary = &rotary, .qk_norm = true, .gemma_norm = true, .scale = 1 / std::sqrt(scalar)};
    if (sliding[layer]) attention.window = config.sliding_window;
    Decoder::Value* x = m.Attention(layer, m.Norm(layer, "input_layernorm", norm), attention);
    m.Add(m.BranchNorm(layer, "post_attention_layernorm", x, norm));
    x = m.GatedMlp(layer, m.Norm(layer, "pre_feedforward_layernorm", norm), {.gelu = true});
    m.Add(m.BranchNorm(layer, "post_feedforward_layernorm", x, norm));
  }
  m.Head(m.FinalNorm(norm), config.Double("final_logit_softcapping", 0));
}

}  // namespace sinter::convert

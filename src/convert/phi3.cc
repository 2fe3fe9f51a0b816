// Phi-3 and Phi-4-mini: fused projections in the checkpoint and a sliding window. With LongRoPE
// there are two sets of rotary frequencies, for sequences within and beyond the original context.
#include "convert/architectures.h"

namespace sinter::convert {

void BuildPhi3(Decoder& m) {
  const HfConfig& config = m.config();
  config.Want("hidden_act", "silu");
  config.Want("attention_bias", false);

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    // A window as large as the context hides nothing, so it is left out.
    Decoder::AttentionOptions attention = {.rotary = &rotary, .fused_qkv = true};
    if (config.sliding_window.value_or(config.context) < config.context) {
      attention.window = config.sliding_window;
    }
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"), attention));
    m.Add(m.GatedMlp(layer, m.Norm(layer, "post_attention_layernorm"), {.fused_up = true}));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

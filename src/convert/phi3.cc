// Phi-3 and Phi-4-mini: fused projections in the checkpoint and a sliding window. With LongRoPE
// there are two sets of rotary frequencies, for sequences within and beyond the original context.
#include "base/error.h"
#include "convert/architectures.h"

namespace sinter::convert {

void BuildPhi3(Decoder& m) {
  const HfConfig& config = m.config();
  config.WantSilu();
  if (config.rope.type != RopeConfig::Type::kDefault &&
      config.rope.type != RopeConfig::Type::kLongRope) {
    throw Error("convert",
                "{}: rope_type: got one that phi3 does not have, want default or longrope",
                config.file);
  }
  const std::optional<int64_t> window = config.UniformWindow();

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"),
                      {.rotary = &rotary, .fused_qkv = true, .window = window}));
    m.Add(m.GatedMlp(layer, m.Norm(layer, "post_attention_layernorm"), {.fused_up = true}));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

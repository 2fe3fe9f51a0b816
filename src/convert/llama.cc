// Llama 2 and 3, with Llama 3's scaling of the rotary frequencies.
#include "convert/architectures.h"

namespace sinter::convert {

void BuildLlama(Decoder& m) {
  const HfConfig& config = m.config();
  config.WantSilu();
  config.WantNoWindow();
  const bool bias = config.Flag("attention_bias", false);
  const bool mlp_bias = config.Flag("mlp_bias", false);

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"),
                      {.rotary = &rotary, .qkv_bias = bias, .output_bias = bias}));
    m.Add(m.GatedMlp(layer, m.Norm(layer, "post_attention_layernorm"), {.bias = mlp_bias}));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

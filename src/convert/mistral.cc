// Mistral: Llama's layers. The first version of the model attends to a sliding window.
#include "convert/architectures.h"

namespace sinter::convert {

void BuildMistral(Decoder& m) {
  const HfConfig& config = m.config();
  config.WantSilu();
  const std::optional<int64_t> window = config.UniformWindow();

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"),
                      {.rotary = &rotary, .window = window}));
    m.Add(m.GatedMlp(layer, m.Norm(layer, "post_attention_layernorm")));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

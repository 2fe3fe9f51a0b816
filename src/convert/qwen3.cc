// Qwen3: each head of query and key is normalized before its rotary embedding.
#include "convert/architectures.h"

namespace sinter::convert {

void BuildQwen3(Decoder& m) {
  const HfConfig& config = m.config();
  config.Want("hidden_act", "silu");
  const bool windows = config.Flag("use_sliding_window", false) && config.sliding_window;
  const int64_t full_layers = config.Int("max_window_layers", config.layers);
  const bool bias = config.Flag("attention_bias", false);

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    const bool slides =
        config.sliding_layers.empty() ? layer >= full_layers : config.sliding_layers[layer];
    Decoder::AttentionOptions attention = {
        .rotary = &rotary, .qk_norm = true, .qkv_bias = bias, .output_bias = bias};
    if (windows && slides) attention.window = config.sliding_window;
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"), attention));
    m.Add(m.GatedMlp(layer, m.Norm(layer, "post_attention_layernorm")));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

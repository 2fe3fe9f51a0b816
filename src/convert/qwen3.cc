// Qwen3: each head of query and key is normalized before its rotary embedding.
#include "convert/architectures.h"

namespace sinter::convert {

void BuildQwen3(Decoder& m) {
  const HfConfig& config = m.config();
  config.WantSilu();
  const bool windows = config.Flag("use_sliding_window", false) && config.sliding_window;
  const int64_t full_layers = config.Int("max_window_layers", 28);
  const std::vector<bool> sliding =
      config.SlidingLayers(windows, [&](int64_t layer) { return windows && layer >= full_layers; });
  const bool bias = config.Flag("attention_bias", false);

  m.Embed();
  const Decoder::Rotary rotary = m.RotaryCaches(config.rope);
  for (int64_t layer = 0; layer < m.layers(); ++layer) {
    Decoder::AttentionOptions attention = {
        .rotary = &rotary, .qk_norm = true, .qkv_bias = bias, .output_bias = bias};
    if (sliding[layer]) attention.window = config.sliding_window;
    m.Add(m.Attention(layer, m.Norm(layer, "input_layernorm"), attention));
    m.Add(m.GatedMlp(layer, m.Norm(layer, "post_attention_layernorm")));
  }
  m.Head(m.FinalNorm());
}

}  // namespace sinter::convert

// Tables of cosines and sines for rotary position embeddings.
// Sources: arXiv:2104.09864 (RoPE), arXiv:2309.00071 (YaRN), arXiv:2402.13753 (LongRoPE), and
// Hugging Face transformers' modeling_rope_utils.py for the exact forms.
#pragma once

#include <cstdint>
#include <vector>

#include "convert/hf_config.h"

namespace sinter::convert {

// Row p of the tables is scale * cos(p * f_i), and scale * sin(p * f_i) for the frequencies f_i.
struct RotaryAngles {
  std::vector<double> frequencies;  // rotary_dim / 2
  double scale = 1;
};

// `is_long`: with LongRoPE, the factors for sequences past the original context.
RotaryAngles AnglesFor(const RopeConfig& rope, int64_t rotary_dim, int64_t context, bool is_long);

}  // namespace sinter::convert

// Frequencies of the cosine and sine tables for rotary position embeddings.
// Sources: arXiv:2104.09864 (RoPE), arXiv:2309.00071 (YaRN), arXiv:2402.13753 (LongRoPE), and
// Hugging Face transformers' modeling_rope_utils.py for the exact forms.
#pragma once

#include <cstdint>
#include <vector>

#include "convert/rope_config.h"

namespace sinter::convert {

// Row p of the tables is scale * cos(p * f_i) and scale * sin(p * f_i) for the frequencies f_i.
struct RotaryAngles {
  std::vector<double> frequencies;  // rotary_dim / 2
  double scale = 1;
};

// Returns the angles for a context of `context` tokens. `is_long` selects LongRoPE's factors for
// sequences longer than the original context.
RotaryAngles AnglesFor(const RopeConfig& rope, int64_t context, bool is_long);

}  // namespace sinter::convert

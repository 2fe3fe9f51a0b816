#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "kernels/rotary_embedding/rotary_embedding.h"

namespace sinter::kernels {

void RotaryEmbeddingReference(const RotaryEmbeddingShape& shape, std::span<const double> input,
                              std::span<const double> cos, std::span<const double> sin,
                              std::span<const double> norm_weight,
                              std::span<const double> seqlens_k,
                              std::span<const double> position_ids, std::span<double> output,
                              std::span<const double> page_table) {
  const size_t size = shape.head_size;
  const size_t half = shape.rotary_dim / 2;
  const size_t hidden = shape.heads * size;
  const size_t input_row = shape.input_row == 0 ? hidden : shape.input_row;
  const size_t output_rows = shape.output_rows == 0 ? shape.sequence : shape.output_rows;
  const CacheRows rows{shape.heads, output_rows, shape.page_entries, page_table};
  SINTER_CHECK(output.size() == rows.Count(shape.batch) * size);
  SINTER_CHECK(!shape.NeedsSeqlens() || seqlens_k.size() == shape.batch);
  SINTER_CHECK(cos.size() == sin.size() && cos.size() >= shape.cache_rows * half);
  std::vector<double> x(size), y(size);
  for (size_t b = 0; b < shape.batch; ++b) {
    const int64_t total = shape.NeedsSeqlens() ? static_cast<int64_t>(seqlens_k[b]) + 1 : 0;
    const int64_t past = std::max<int64_t>(total - shape.sequence, 0);
    for (size_t s = 0; s < shape.sequence; ++s) {
      const size_t row = shape.output_is_cache ? past + s : s;
      if (row >= SequenceRows(static_cast<uint32_t>(output_rows), shape.page_entries)) continue;
      size_t angles = 0;
      if (half > 0) {
        int64_t position = 0;
        switch (shape.positions) {
          case RotaryPositions::kSeqlens:
            position = past + s;
            break;
          case RotaryPositions::kPositionIds:
            position = std::max<int64_t>(position_ids[b * shape.sequence + s], 0);
            break;
          case RotaryPositions::kOffset:
            position = std::max<int64_t>(position_ids[0], 0) + s;
            break;
        }
        angles = std::min<int64_t>(position, int64_t{shape.cache_rows} - 1) * half;
      }
      for (size_t h = 0; h < shape.heads; ++h) {
        const size_t from =
            shape.input_offset + (shape.input_layout == HeadLayout::kBSNH
                                      ? (b * shape.sequence + s) * input_row + h * size
                                      : ((b * shape.heads + h) * shape.sequence + s) * size);
        std::copy_n(input.begin() + from, size, x.begin());
        if (shape.has_norm) {
          double squares = 0;
          for (double value : x) squares += value * value;
          const double inv_std = 1 / std::sqrt(squares / size + shape.epsilon);
          for (size_t d = 0; d < size; ++d) x[d] *= inv_std * norm_weight[d];
        }
        y = x;
        for (size_t i = 0; i < half; ++i) {
          const size_t d0 = shape.interleaved ? 2 * i : i;
          const size_t d1 = shape.interleaved ? 2 * i + 1 : i + half;
          y[d0] = x[d0] * cos[angles + i] - x[d1] * sin[angles + i];
          y[d1] = x[d1] * cos[angles + i] + x[d0] * sin[angles + i];
        }
        const size_t to = shape.output_layout == HeadLayout::kBSNH
                              ? (b * output_rows + row) * hidden + h * size
                              : rows.At(b, h, row) * size;
        std::copy(y.begin(), y.end(), output.begin() + to);
      }
    }
  }
}

}  // namespace sinter::kernels

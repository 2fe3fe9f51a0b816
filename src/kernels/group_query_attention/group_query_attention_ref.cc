#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "kernels/group_query_attention/group_query_attention.h"

namespace sinter::kernels {

std::vector<double> GroupQueryAttentionReference(
    const GroupQueryAttentionShape& shape, std::span<const double> q,
    std::span<const double> k_cache, std::span<const double> v_cache,
    std::span<const double> lengths, std::span<const double> head_sink,
    std::span<const double> attention_bias, std::span<const double> page_table) {
  const size_t size = shape.head_size;
  const size_t group = shape.heads / shape.kv_heads;
  const double scale = shape.scale == 0 ? 1 / std::sqrt(static_cast<double>(size)) : shape.scale;
  SINTER_CHECK(q.size() == size_t{shape.batch} * shape.sequence * shape.heads * size);
  const CacheRows rows{shape.kv_heads, shape.capacity, shape.page_entries, page_table};
  SINTER_CHECK(k_cache.size() == rows.Count(shape.batch) * size);
  SINTER_CHECK(v_cache.size() == k_cache.size());
  SINTER_CHECK(shape.lengths == KeyLengths::kCapacity || lengths.size() == shape.batch);
  const auto row_of = [&](HeadLayout layout, size_t b, size_t h, size_t s) {
    return layout == HeadLayout::kBSNH ? ((b * shape.sequence + s) * shape.heads + h) * size
                                       : ((b * shape.heads + h) * shape.sequence + s) * size;
  };
  std::vector<double> output(q.size());
  std::vector<double> scores;
  for (size_t b = 0; b < shape.batch; ++b) {
    int64_t total = shape.rows();
    if (shape.lengths != KeyLengths::kCapacity) {
      total = static_cast<int64_t>(lengths[b]) + (shape.lengths == KeyLengths::kSeqlensK);
    }
    const int64_t limit = std::clamp<int64_t>(total, 0, shape.limit());
    const int64_t past =
        std::clamp<int64_t>(total - shape.sequence, shape.past_min, shape.past_max);
    for (size_t h = 0; h < shape.heads; ++h) {
      const auto element = [&](std::span<const double> cache, int64_t t, size_t d) {
        return cache[rows.At(b, h / group, static_cast<size_t>(t)) * size + d];
      };
      for (size_t s = 0; s < shape.sequence; ++s) {
        const int64_t own = past + static_cast<int64_t>(s) + 1;
        int64_t begin = 0, end = limit;
        if (shape.causal) end = std::clamp<int64_t>(own, 0, limit);
        if (shape.local_window > 0) {
          end = std::min(end, std::max<int64_t>(own + shape.local_window - 1, 0));
          begin = std::max<int64_t>(std::min(own, limit) - shape.local_window, 0);
        }
        const double* row = &q[row_of(shape.q_layout, b, h, s)];
        double sum = 0;
        double largest = -std::numeric_limits<double>::infinity();
        if (shape.has_head_sink || shape.smooth_softmax) {
          largest = shape.has_head_sink ? head_sink[h] : 0;
        }
        const double sink = largest;
        scores.clear();
        for (int64_t t = begin; t < end; ++t) {
          double score = 0;
          for (size_t d = 0; d < size; ++d) score += row[d] * element(k_cache, t, d);
          score *= scale;
          if (shape.softcap > 0) score = shape.softcap * std::tanh(score / shape.softcap);
          if (t < shape.bias_total) {
            const size_t bias_b = shape.bias_batch == 1 ? 0 : b;
            const size_t bias_h = shape.bias_heads == 1 ? 0 : h;
            const size_t bias_s = shape.rows_of_bias() == 1 ? 0 : s;
            const size_t bias_row =
                (bias_b * shape.bias_heads + bias_h) * shape.rows_of_bias() + bias_s;
            const double bias = attention_bias[bias_row * shape.bias_total + t];
            score += !shape.bias_is_mask ? bias
                     : bias != 0         ? 0
                                         : -std::numeric_limits<double>::infinity();
          }
          scores.push_back(score);
          largest = std::max(largest, score);
        }
        if (std::isinf(largest)) continue;  // no visible key: zeros
        if (shape.has_head_sink || shape.smooth_softmax) sum = std::exp(sink - largest);
        double* out = &output[row_of(shape.output_layout, b, h, s)];
        for (int64_t t = begin; t < end; ++t) {
          const double weight = std::exp(scores[t - begin] - largest);
          sum += weight;
          for (size_t d = 0; d < size; ++d) out[d] += weight * element(v_cache, t, d);
        }
        for (size_t d = 0; d < size; ++d) out[d] /= sum;
      }
    }
  }
  return output;
}

}  // namespace sinter::kernels

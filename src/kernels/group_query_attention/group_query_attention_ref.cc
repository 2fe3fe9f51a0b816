#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "kernels/group_query_attention/group_query_attention.h"

namespace sinter::kernels {

std::vector<double> GroupQueryAttentionReference(const GroupQueryAttentionShape& shape,
                                                 std::span<const double> q,
                                                 std::span<const double> k_cache,
                                                 std::span<const double> v_cache,
                                                 std::span<const double> seqlens_k,
                                                 std::span<const double> head_sink,
                                                 std::span<const double> attention_bias) {
  const size_t size = shape.head_size;
  const size_t group = shape.heads / shape.kv_heads;
  const double scale = shape.scale == 0 ? 1 / std::sqrt(static_cast<double>(size)) : shape.scale;
  SINTER_CHECK(q.size() == size_t{shape.batch} * shape.sequence * shape.heads * size);
  SINTER_CHECK(k_cache.size() == size_t{shape.batch} * shape.kv_heads * shape.capacity * size);
  SINTER_CHECK(v_cache.size() == k_cache.size() && seqlens_k.size() == shape.batch);
  std::vector<double> output(q.size());
  std::vector<double> scores;
  for (size_t b = 0; b < shape.batch; ++b) {
    const int64_t total = static_cast<int64_t>(seqlens_k[b]) + 1;
    const int64_t past = std::max<int64_t>(total - shape.sequence, 0);
    for (size_t h = 0; h < shape.heads; ++h) {
      const size_t cache = (b * shape.kv_heads + h / group) * shape.capacity;
      for (size_t s = 0; s < shape.sequence; ++s) {
        const int64_t end =
            std::max<int64_t>(std::min<int64_t>({past + static_cast<int64_t>(s) + 1, total,
                                                 static_cast<int64_t>(shape.capacity)}),
                              0);
        const int64_t begin =
            shape.local_window > 0 ? std::max<int64_t>(end - shape.local_window, 0) : 0;
        const double* row = &q[shape.q_layout == HeadLayout::kBSNH
                                   ? ((b * shape.sequence + s) * shape.heads + h) * size
                                   : ((b * shape.heads + h) * shape.sequence + s) * size];
        double sum = 0;
        double largest = -std::numeric_limits<double>::infinity();
        if (shape.has_head_sink || shape.smooth_softmax) {
          largest = shape.has_head_sink ? head_sink[h] : 0;
        }
        const double sink = largest;
        scores.clear();
        for (int64_t t = begin; t < end; ++t) {
          double score = 0;
          for (size_t d = 0; d < size; ++d) score += row[d] * k_cache[(cache + t) * size + d];
          score *= scale;
          if (shape.softcap > 0) score = shape.softcap * std::tanh(score / shape.softcap);
          if (t < shape.bias_total) {
            const size_t bias_b = shape.bias_batch == 1 ? 0 : b;
            const size_t bias_h = shape.bias_heads == 1 ? 0 : h;
            const size_t bias_row = (bias_b * shape.bias_heads + bias_h) * shape.sequence + s;
            score += attention_bias[bias_row * shape.bias_total + t];
          }
          scores.push_back(score);
          largest = std::max(largest, score);
        }
        if (std::isinf(largest)) continue;  // No key that counts: zeros.
        if (shape.has_head_sink || shape.smooth_softmax) sum = std::exp(sink - largest);
        double* out = &output[((b * shape.sequence + s) * shape.heads + h) * size];
        for (int64_t t = begin; t < end; ++t) {
          const double weight = std::exp(scores[t - begin] - largest);
          sum += weight;
          for (size_t d = 0; d < size; ++d) out[d] += weight * v_cache[(cache + t) * size + d];
        }
        for (size_t d = 0; d < size; ++d) out[d] /= sum;
      }
    }
  }
  return output;
}

}  // namespace sinter::kernels

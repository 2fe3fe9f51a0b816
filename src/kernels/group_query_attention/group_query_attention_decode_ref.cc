#include <vector>

#include "base/half.h"
#include "kernels/group_query_attention/group_query_attention_decode.h"
#include "kernels/group_query_attention/group_query_attention_prepare.h"

namespace sinter::kernels {

std::vector<double> GroupQueryAttentionDecodeReference(
    const GroupQueryAttentionDecodeShape& shape, const GroupQueryAttentionDecodeInputs& inputs,
    std::span<double> k_cache, std::span<double> v_cache, DType cache_dtype) {
  const std::vector<double> q =
      GroupQueryAttentionPrepareReference(shape, inputs, k_cache, v_cache);
  if (cache_dtype == DType::kF16) {
    for (double& x : k_cache) x = HalfToFloat(FloatToHalf(static_cast<float>(x)));
  }
  return GroupQueryAttentionReference(shape.attention, q, k_cache, v_cache, inputs.seqlens_k,
                                      inputs.head_sink, inputs.attention_bias, inputs.page_table);
}

}  // namespace sinter::kernels

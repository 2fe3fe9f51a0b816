#include <vector>

#include "kernels/group_query_attention/group_query_attention_prepare.h"

namespace sinter::kernels {

std::vector<double> GroupQueryAttentionPrepareReference(
    const GroupQueryAttentionDecodeShape& shape, const GroupQueryAttentionDecodeInputs& inputs,
    std::span<double> k_cache, std::span<double> v_cache) {
  const GroupQueryAttentionShape& attention = shape.attention;
  RotaryEmbeddingShape move;
  move.batch = attention.batch;
  move.sequence = attention.sequence;
  move.head_size = attention.head_size;
  move.rotary_dim = 0;
  RotaryEmbeddingShape rotate = move;
  rotate.rotary_dim = shape.rotary_dim;
  rotate.interleaved = shape.interleaved;
  rotate.positions = shape.positions;
  rotate.cache_rows = shape.rotary_rows;
  rotate.has_norm = shape.has_norm;
  rotate.epsilon = shape.epsilon;
  const auto cached = [&](RotaryEmbeddingShape part, uint32_t first_head) {
    part.heads = attention.kv_heads;
    part.input_row = shape.packed ? shape.row() : 0;
    part.input_offset = shape.packed ? first_head * attention.head_size : 0;
    part.output_layout = HeadLayout::kBNSH;
    part.output_is_cache = true;
    part.output_rows = attention.capacity;
    part.page_entries = attention.page_entries;
    return part;
  };
  RotaryEmbeddingReference(cached(rotate, attention.heads),
                           shape.packed ? inputs.query : inputs.key, inputs.cos, inputs.sin,
                           inputs.k_norm_weight, inputs.seqlens_k, inputs.position_ids, k_cache,
                           inputs.page_table);
  RotaryEmbeddingReference(cached(move, attention.heads + attention.kv_heads),
                           shape.packed ? inputs.query : inputs.value, {}, {}, {}, inputs.seqlens_k,
                           {}, v_cache, inputs.page_table);
  rotate.heads = attention.heads;
  rotate.input_row = shape.row();
  std::vector<double> q(size_t{attention.batch} * attention.sequence * attention.heads *
                        attention.head_size);
  RotaryEmbeddingReference(rotate, inputs.query, inputs.cos, inputs.sin, inputs.q_norm_weight,
                           inputs.seqlens_k, inputs.position_ids, q);
  return q;
}

}  // namespace sinter::kernels

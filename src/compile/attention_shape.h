// Converts a node read by graph/attention.h to the shape of the attention kernel. The lowering and
// the interpreter use it.
#pragma once

#include "graph/attention.h"
#include "kernels/group_query_attention/group_query_attention.h"

namespace sinter::compile {

// Returns the kernel's shape. `count` converts a dimension to 32 bits. The kernel's operands are
// the queries, the keys of past and present by head, the values likewise, the lengths and the mask.
template <typename Count>
kernels::GroupQueryAttentionShape AttentionShapeOf(const graph::AttentionForm& form, DType dtype,
                                                   bool mask_is_float, Count count) {
  kernels::GroupQueryAttentionShape shape;
  shape.batch = count(form.batch);
  shape.sequence = count(form.sequence);
  shape.heads = count(form.heads);
  shape.kv_heads = count(form.kv_heads);
  shape.head_size = count(form.head_size);
  shape.capacity = count(form.total());
  shape.dtype = dtype;
  if (form.by_head) shape.q_layout = shape.output_layout = kernels::HeadLayout::kBNSH;
  shape.causal = form.causal;
  shape.scale = form.scale;
  shape.softcap = form.softcap;
  if (form.places.lengths) {
    shape.lengths = kernels::KeyLengths::kTotal;
  } else {
    shape.lengths = kernels::KeyLengths::kCapacity;
  }
  if (form.ends_by_lengths) {
    shape.past_min = INT32_MIN;
  } else {
    shape.past_min = shape.past_max = static_cast<int32_t>(count(form.past));
  }
  if (!form.mask.empty()) {
    shape.bias_batch = count(form.mask[0]);
    shape.bias_heads = count(form.mask[1]);
    shape.bias_rows = count(form.mask[2]);
    shape.bias_total = shape.key_limit = count(form.mask[3]);
    shape.bias_is_mask = !mask_is_float;
  }
  return shape;
}

}  // namespace sinter::compile

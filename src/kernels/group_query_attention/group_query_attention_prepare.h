// Everything that com.microsoft's GroupQueryAttention does before the attention of many rows, in
// one dispatch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/group_query_attention/group_query_attention_decode.h"

namespace sinter::kernels {

// Composition of RotaryEmbedding of the keys, a copy of keys and values to the caches, and
// RotaryEmbedding of the queries to `q` [batch, sequence, heads * head_size], which
// GroupQueryAttention reads; see their headers. The other operands are those of
// group_query_attention_decode.h.

struct GroupQueryAttentionPrepareRoles : GroupQueryAttentionInputRoles {
  static constexpr Role kKeyCache{4, Access::kWrite}, kValueCache{5, Access::kWrite},
      kQ{12, Access::kWrite}, kPageTable{13};
};

// Mirrors Params in group_query_attention_prepare.wgsl.
struct GroupQueryAttentionPrepareParams {
  uint32_t capacity;      // rows of a sequence
  uint32_t local_window;  // not used
  uint32_t rotary_rows;
  uint32_t q_row;  // strides and offsets of the inputs, in units of eight elements
  uint32_t kv_row;
  uint32_t k_offset;
  uint32_t v_offset;
  uint32_t grid_x;
  float epsilon;
  uint32_t head_rows;  // rows of a head of the caches
  uint32_t pad[2];
};
static_assert(sizeof(GroupQueryAttentionPrepareParams) == 48 &&
              offsetof(GroupQueryAttentionPrepareParams, epsilon) == 32);

// Returns the variants that fit, the default first: `sg.wg128` if subgroups hold a head, and
// `wg128`. Empty if the kernel does not fit: a head size that is no multiple of 8 or above 512,
// half of rotary_dim no multiple of 8, or more storage buffers than the adapter can bind.
std::vector<std::string> GroupQueryAttentionPrepareVariants(
    const Caps& caps, const GroupQueryAttentionDecodeShape& shape);

// Plans one dispatch. Throws Error for a variant that is unknown or does not fit, and for a type
// other than f16 and f32.
KernelPlan PlanGroupQueryAttentionPrepare(const Caps& caps,
                                          const GroupQueryAttentionDecodeShape& shape,
                                          std::string_view variant = "");

// Returns q of the composition in double, from the references of its parts, and updates the caches.
std::vector<double> GroupQueryAttentionPrepareReference(
    const GroupQueryAttentionDecodeShape& shape, const GroupQueryAttentionDecodeInputs& inputs,
    std::span<double> k_cache, std::span<double> v_cache);

}  // namespace sinter::kernels

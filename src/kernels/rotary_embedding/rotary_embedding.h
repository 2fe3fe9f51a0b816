// Rotary position embedding (RoFormer, arXiv:2104.09864) of attention heads, with an optional RMS
// normalization of each head before it, written densely or into the KV cache. Without rotation it
// is a plain copy. Used for com.microsoft's RotaryEmbedding and for Q, K and V of
// GroupQueryAttention.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/kv_pages.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

// Order of the dimensions of a tensor of heads. The row of one head is [head_size].
enum class HeadLayout {
  kBSNH,  // [batch, sequence, row]: the heads are head_size apart within a row
  kBNSH,  // [batch, heads, sequence or capacity, head_size]
};

// Source of a row's position.
enum class RotaryPositions {
  kSeqlens,      // seqlens_k[b] + 1 - sequence + s, at least s: GroupQueryAttention's contract
  kPositionIds,  // position_ids[b * sequence + s]
  kOffset,       // position_ids[0] + s
};

struct RotaryEmbeddingRoles {
  static constexpr Role kInput{1}, kCos{2, Access::kReadRows}, kSin{3, Access::kReadRows},
      kNormWeight{4}, kSeqlens{5}, kPositionIds{6}, kOutput{7, Access::kWrite}, kPageTable{8};
};

// For every batch b, row s < sequence and head h < heads:
//   x = input head, [* norm_weight / sqrt(mean(x^2) + epsilon)]
//   half-split:  (y[i], y[i + r/2]) = rotate(x[i], x[i + r/2]); interleaved: pairs (2i, 2i + 1)
//   rotate(a, b) = (a c - b s, b c + a s), c = cos[row, i], s = sin[row, i], r = rotary_dim
//   the dimensions from rotary_dim on are copied.
// The row of the cos and sin caches is the position, clamped to cache_rows - 1.
//
// Output row: s; in a KV cache max(seqlens_k[b] + 1 - sequence, 0) + s. Rows past those that the
// output has for a sequence are dropped.
//
// Operands: input; cos and sin [cache_rows, rotary_dim / 2] (if rotary_dim > 0); norm_weight
// [head_size] (if has_norm); seqlens i32 [batch] (if NeedsSeqlens()); position_ids i32 (if
// rotary_dim > 0 and positions are not kSeqlens); output; page_table i32 [batch, page_entries] (if
// page_entries > 0).
struct RotaryEmbeddingShape {
  uint32_t batch = 1;
  uint32_t sequence = 1;
  uint32_t heads = 1;
  uint32_t head_size = 64;
  uint32_t rotary_dim = 64;  // even, <= head_size; 0 means no rotation
  bool interleaved = false;
  DType dtype = DType::kF32;  // type of input, output, cos and sin
  RotaryPositions positions = RotaryPositions::kSeqlens;
  uint32_t cache_rows = 1;  // rows of cos and sin

  bool has_norm = false;
  float epsilon = 1e-6f;
  DType norm_dtype = DType::kF32;

  HeadLayout input_layout = HeadLayout::kBSNH;
  uint32_t input_row = 0;     // kBSNH: elements of a row; 0 means heads * head_size
  uint32_t input_offset = 0;  // elements before the first head, in a row (kBSNH) or in all

  HeadLayout output_layout = HeadLayout::kBSNH;
  bool output_is_cache = false;  // kBNSH with capacity output_rows
  uint32_t output_rows = 0;      // 0 means `sequence`
  uint32_t page_entries = 0;     // of a KV cache in pages (common/kv_pages.h); 0 means no pages

  bool NeedsSeqlens() const {
    return output_is_cache || (rotary_dim > 0 && positions == RotaryPositions::kSeqlens);
  }
};

// Mirrors Params in rotary_embedding.wgsl.
struct RotaryEmbeddingParams {
  uint32_t batch;
  uint32_t sequence;
  uint32_t heads;
  uint32_t head_size;
  uint32_t rotary_half;
  uint32_t cache_rows;
  uint32_t grid_x;
  uint32_t input_offset;
  uint32_t input_batch;  // strides in elements
  uint32_t input_sequence;
  uint32_t input_head;
  uint32_t capacity;  // rows of a sequence in the output
  uint32_t output_batch;
  uint32_t output_sequence;
  uint32_t output_head;
  float epsilon;
  uint32_t head_rows;  // rows of a head of a KV cache
  uint32_t padding[3];
};
static_assert(sizeof(RotaryEmbeddingParams) == 80 &&
              offsetof(RotaryEmbeddingParams, epsilon) == 60);

// Returns the variants: `wg64` (one head per workgroup of 64 threads) and, with subgroups,
// `wg64.sg`. They differ only if has_norm is set.
std::vector<std::string> RotaryEmbeddingVariants(const Caps& caps);

// Plans one dispatch. Throws Error for an unknown variant, a type other than f16 and f32, an odd or
// too large rotary_dim, and a KV cache that is not kBNSH.
KernelPlan PlanRotaryEmbedding(const Caps& caps, const RotaryEmbeddingShape& shape,
                               std::string_view variant = "");

// Computes the definition above in double. Spans of absent operands are empty. Overwrites the rows
// of `output` that the kernel writes and keeps the others.
void RotaryEmbeddingReference(const RotaryEmbeddingShape& shape, std::span<const double> input,
                              std::span<const double> cos, std::span<const double> sin,
                              std::span<const double> norm_weight,
                              std::span<const double> seqlens_k,
                              std::span<const double> position_ids, std::span<double> output,
                              std::span<const double> page_table = {});

}  // namespace sinter::kernels

// Attention of grouped query heads over keys and values stored by head: the part of com.microsoft's
// GroupQueryAttention after its rotary embedding and cache update (rotary_embedding.h), and ONNX's
// Attention, causal or not.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/kv_pages.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"
#include "kernels/rotary_embedding/rotary_embedding.h"

namespace sinter::kernels {

// Meaning of the sequences' lengths.
enum class KeyLengths {
  kSeqlensK,  // total - 1
  kTotal,     // total
  kCapacity,  // absent: total is the capacity
};

struct GroupQueryAttentionRoles {
  static constexpr Role kQuery{1}, kKeyCache{2}, kValueCache{3}, kLengths{4}, kHeadSink{5},
      kAttentionBias{6}, kOutput{7, Access::kWrite}, kPageTable{8};
};

// For batch b, head n and row s, with total by `lengths`, limit = min(total, key_limit), and
// own = clamp(total - sequence, past_min, past_max) + s + 1, the position after the row's own key:
//   keys t in [begin, end), end = clamp(causal ? own : own + local_window - 1, 0, limit); end is
//     limit if the attention is neither causal nor has a window,
//     begin = local_window > 0 ? max(min(own, limit) - local_window, 0) : 0
//   score[t] = softcap(scale * q . k[t]) + attention_bias[b, n, s, t]
//   softcap(x) = softcap > 0 ? softcap * tanh(x / softcap) : x
//   output = sum(exp(score[t] - max) v[t]) / (sum(exp(score[t] - max)) [+ exp(sink - max)])
// The window counts the row's own key, as ONNX Runtime has done since 1.23 (pull request 25927). A
// row without keys, or whose keys are all masked, gives zeros. The softmax is online
// (arXiv:1805.02867), in f32; no score matrix is stored.
//
// Operands:
//   query           [batch, sequence, heads * head_size], or kBNSH
//   key, value      caches [batch, kv_heads, capacity, head_size]; in pages (common/kv_pages.h)
//                   [kv_heads, capacity, head_size]
//   lengths         i32 [batch], absent for kCapacity
//   head_sink       [heads], if has_head_sink
//   attention_bias  [bias_batch, bias_heads, bias_rows, bias_total], if bias_total > 0; keys from
//                   bias_total on have bias 0
//   output          like query, in its own layout
//   page_table      i32 [batch, page_entries], if page_entries > 0
struct GroupQueryAttentionShape {
  uint32_t batch = 1;
  uint32_t sequence = 1;
  uint32_t heads = 1;
  uint32_t kv_heads = 1;
  uint32_t head_size = 64;
  uint32_t capacity = 1;      // rows of a head of the caches
  uint32_t page_entries = 0;  // pages of a sequence; 0 means that the caches are not in pages
  DType dtype = DType::kF32;  // type of every float operand
  HeadLayout q_layout = HeadLayout::kBSNH;
  HeadLayout output_layout = HeadLayout::kBSNH;
  bool causal = true;
  KeyLengths lengths = KeyLengths::kSeqlensK;
  uint32_t key_limit = 0;  // 0 means rows()
  // Bounds of the number of positions before the first row. By default the last row of a sequence
  // belongs to its last key, and a prompt that is padded on the right begins with key 0. Equal
  // bounds fix the number. Without a lower bound the first rows of a short sequence see no keys.
  int32_t past_min = 0, past_max = INT32_MAX;
  float scale = 0;  // 0 means 1 / sqrt(head_size)
  float softcap = 0;
  int32_t local_window = -1;    // keys that a row sees, its own included; <= 0 means all
  bool has_head_sink = false;   // whether each head has a logit that counts in the denominator only
  bool smooth_softmax = false;  // the same with a logit of 0 for every head
  uint32_t bias_batch = 1;      // 1 or batch
  uint32_t bias_heads = 1;      // 1 or heads
  uint32_t bias_rows = 0;       // 1 or sequence; 0 means sequence
  uint32_t bias_total = 0;      // 0 means no attention_bias
  // If set, attention_bias is u32 or i32: 0 masks a key, and any other value keeps it.
  bool bias_is_mask = false;

  bool operator==(const GroupQueryAttentionShape&) const = default;
  // Returns the rows that a sequence can have: its capacity.
  uint32_t rows() const { return SequenceRows(capacity, page_entries); }
  uint32_t limit() const { return key_limit == 0 ? rows() : std::min(key_limit, rows()); }
  uint32_t rows_of_bias() const { return bias_rows == 0 ? sequence : bias_rows; }
};

// Mirrors Params in group_query_attention.wgsl.
struct GroupQueryAttentionParams {
  uint32_t batch;
  uint32_t sequence;
  uint32_t heads;
  uint32_t kv_heads;
  uint32_t capacity;  // rows of a sequence
  uint32_t key_limit;
  uint32_t local_window;  // 0: all keys
  int32_t keys_after;     // keys that a row sees after its own
  int32_t past_min;
  int32_t past_max;
  int32_t total_offset;  // total minus the element of `lengths`
  uint32_t q_batch;      // strides of q in elements
  uint32_t q_sequence;
  uint32_t q_head;
  uint32_t out_batch;  // strides of output in elements
  uint32_t out_sequence;
  uint32_t out_head;
  uint32_t bias_batch;  // strides of attention_bias in elements, 0 where it broadcasts
  uint32_t bias_head;
  uint32_t bias_row;
  uint32_t bias_total;
  float scale;
  float softcap;
  uint32_t grid_x;
  uint32_t tiles;      // prefill: tiles of query rows per (batch, kv head)
  uint32_t head_rows;  // rows of a head of the caches
  uint32_t padding[2];
};
static_assert(sizeof(GroupQueryAttentionParams) == 112 &&
              offsetof(GroupQueryAttentionParams, scale) == 84);

// Returns the variants that fit.
//
// - `row` and, with subgroups, `row.sg`: a workgroup for each (batch, head, row), whose threads
//   split the keys. Any head size up to 1024.
// - `prefill`: a workgroup for 16 (row, head of the group) pairs, which share each tile of keys.
//   Head sizes that are multiples of 4, up to 512.
// - `matrix.r64.k32`: tiles of 64 pairs and 32 keys on the matrix units. For f16, if every subgroup
//   has the same size and the head size is 1 to 16 of the matrices.
std::vector<std::string> GroupQueryAttentionVariants(const Caps& caps,
                                                     const GroupQueryAttentionShape& shape);

// Plans one dispatch. Throws Error for a variant that is unknown or does not fit, for a type other
// than f16 and f32, if heads is no multiple of kv_heads, and for a head size above 1024.
KernelPlan PlanGroupQueryAttention(const Caps& caps, const GroupQueryAttentionShape& shape,
                                   std::string_view variant = "");

// Returns the output by the definition above, in double and in its layout. Spans of absent operands
// are empty.
std::vector<double> GroupQueryAttentionReference(
    const GroupQueryAttentionShape& shape, std::span<const double> q,
    std::span<const double> k_cache, std::span<const double> v_cache,
    std::span<const double> lengths, std::span<const double> head_sink,
    std::span<const double> attention_bias, std::span<const double> page_table = {});

}  // namespace sinter::kernels

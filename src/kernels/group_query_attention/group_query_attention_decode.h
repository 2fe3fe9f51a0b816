// com.microsoft's GroupQueryAttention for a few rows in one dispatch: norm and rotary embedding of
// queries and keys, the append to the in-place KV cache, and the attention itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/group_query_attention/group_query_attention.h"
#include "kernels/tunable.h"

namespace sinter::kernels {

// Inputs of the node as both kernels that append to the caches bind them.
struct GroupQueryAttentionInputRoles {
  static constexpr Role kQuery{1}, kKey{2}, kValue{3}, kSeqlens{6}, kCos{7, Access::kReadRows},
      kSin{8, Access::kReadRows}, kQNormWeight{9}, kKNormWeight{10}, kPositionIds{11};
};

struct GroupQueryAttentionDecodeRoles : GroupQueryAttentionInputRoles {
  static constexpr Role kKeyCache{4, Access::kReadWrite}, kValueCache{5, Access::kReadWrite},
      kHeadSink{12}, kAttentionBias{13}, kOutput{14, Access::kWrite},
      kScratch{15, Access::kScratch};
};

// The composition of RotaryEmbedding of the keys and a move of the values into the caches,
// RotaryEmbedding of the queries, and GroupQueryAttention over the caches; see their headers. Rows
// seqlens_k[b] + 1 - sequence (no less than 0) and following of the caches are written where they
// are below `capacity`. What lies behind a sequence's rows in the caches takes no part.
//
// Bindings, rows of the inputs being [batch, sequence, row]: 1 query of heads * head_size, resp.
// (packed) of query, key and value one after the other; 2 key and 3 value of kv_heads * head_size
// (if not packed); 4 k_cache and 5 v_cache; 6 seqlens_k; 7 cos and 8 sin (rotary_dim > 0);
// 9 q_norm_weight and 10 k_norm_weight [head_size] (has_norm); 11 position_ids [batch, sequence]
// (positions = kPositionIds); 12 head_sink; 13 attention_bias; 14 output; 15 scratch, of the
// plan's scratch_words u32: the first kCounterWords are 0 before and after each dispatch,
// the others are of no matter.
struct GroupQueryAttentionDecodeShape {
  // Causal, of seqlens_k, with kBSNH layouts; no key_limit, bounds of the past, mask or broadcast
  // rows of the bias.
  GroupQueryAttentionShape attention;
  bool packed = false;
  uint32_t rotary_dim = 0;
  bool interleaved = false;
  RotaryPositions positions = RotaryPositions::kSeqlens;  // or kPositionIds
  uint32_t rotary_rows = 1;                               // of cos and sin
  bool has_norm = false;
  float epsilon = 1e-6f;

  bool operator==(const GroupQueryAttentionDecodeShape&) const = default;
  uint32_t row() const {
    return (attention.heads + (packed ? 2 * attention.kv_heads : 0)) * attention.head_size;
  }
};

// Rows of queries from which on the other kernels take over.
constexpr uint32_t kMaxDecodeSequence = 8;

// Mirrors Params in group_query_attention_decode.wgsl.
struct GroupQueryAttentionDecodeParams {
  uint32_t capacity;
  uint32_t local_window;  // 0: all keys
  uint32_t rotary_rows;
  uint32_t q_row;  // strides and offsets of the inputs, in units of eight elements
  uint32_t kv_row;
  uint32_t k_offset;
  uint32_t v_offset;
  uint32_t bias_batch;  // strides of attention_bias in elements, 0 where it broadcasts
  uint32_t bias_head;
  uint32_t bias_total;
  float scale;
  float softcap;
  float epsilon;
  uint32_t pad[3];
};
static_assert(sizeof(GroupQueryAttentionDecodeParams) == 64 &&
              offsetof(GroupQueryAttentionDecodeParams, scale) == 40);

GroupQueryAttentionDecodeParams GroupQueryAttentionDecodeParamsOf(
    const GroupQueryAttentionDecodeShape& shape);

// `sg.s16.wg256`: with subgroups, 16 splits of the keys, workgroups of 256 threads; `s16.wg64`:
// without subgroups. The one that Plan takes is the first. Empty where the kernel does not fit:
// more rows than kMaxDecodeSequence, a head size that is no multiple of 8 or above 512, half of
// rotary_dim no multiple of 8, more storage buffers than the adapter can bind.
std::vector<std::string> GroupQueryAttentionDecodeVariants(
    const Caps& caps, const GroupQueryAttentionDecodeShape& shape);

// Plans the dispatch. Throws Error: an unknown or unfitting variant, a shape that has none.
KernelPlan PlanGroupQueryAttentionDecode(const Caps& caps,
                                         const GroupQueryAttentionDecodeShape& shape,
                                         std::string_view variant = "");

// The same plans, for measuring.
Tunable GroupQueryAttentionDecodeTunable(const Caps& caps,
                                         const GroupQueryAttentionDecodeShape& shape);

// The part of a prelude that group_query_attention_pairs.wgsl and group_query_attention_inputs.wgsl
// ask for, but for kUnits, kLanes and kWorkgroupSize. `pairs`: 1, 2 or 4; `f16`: of activations.
std::string GroupQueryAttentionInputsPrelude(const GroupQueryAttentionDecodeShape& shape,
                                             uint32_t pairs, bool f16);

struct GroupQueryAttentionDecodeInputs {
  std::span<const double> query, key, value, seqlens_k, cos, sin, q_norm_weight, k_norm_weight,
      position_ids, head_sink, attention_bias;
};

// The composition in doubles, from the references of its parts; updates the caches. The cached
// keys and values are rounded to `cache_dtype`.
std::vector<double> GroupQueryAttentionDecodeReference(
    const GroupQueryAttentionDecodeShape& shape, const GroupQueryAttentionDecodeInputs& inputs,
    std::span<double> k_cache, std::span<double> v_cache, DType cache_dtype);

}  // namespace sinter::kernels

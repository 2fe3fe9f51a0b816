// com.microsoft's GroupQueryAttention for a few rows in one dispatch: norm and rotary embedding of
// queries and keys, the append to the KV cache in place, and the attention.
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

// Inputs of the node that both kernels which append to the caches bind.
struct GroupQueryAttentionInputRoles {
  static constexpr Role kQuery{1}, kKey{2}, kValue{3}, kSeqlens{6}, kCos{7, Access::kReadRows},
      kSin{8, Access::kReadRows}, kQNormWeight{9}, kKNormWeight{10}, kPositionIds{11};
};

struct GroupQueryAttentionDecodeRoles : GroupQueryAttentionInputRoles {
  static constexpr Role kKeyCache{4, Access::kReadWrite}, kValueCache{5, Access::kReadWrite},
      kHeadSink{12}, kAttentionBias{13}, kOutput{14, Access::kWrite},
      kScratch{15, Access::kScratch}, kPageTable{16};
};

// Composition of RotaryEmbedding of the keys, a copy of keys and values to the caches,
// RotaryEmbedding of the queries, and GroupQueryAttention over the caches; see their headers.
// Writes the rows of the caches from seqlens_k[b] + 1 - sequence (at least 0) on, as far as they
// are below the capacity of a sequence. Later rows of the caches are ignored.
//
// Operands; rows of the inputs are [batch, sequence, row]:
//   query           rows of heads * head_size; if packed, of query, key and value concatenated
//   key, value      rows of kv_heads * head_size, if not packed
//   caches, seqlens as in group_query_attention.h, kSeqlensK
//   cos, sin        if rotary_dim > 0, as in rotary_embedding.h
//   q_norm, k_norm  weights [head_size], if has_norm
//   position_ids    [batch, sequence], if positions is kPositionIds
//   head_sink, attention_bias, output, page_table  as in group_query_attention.h
//   scratch         the plan's scratch_words u32
struct GroupQueryAttentionDecodeShape {
  // Causal, with kSeqlensK and kBSNH layouts; without key_limit, bounds of the past, a mask, or
  // broadcast rows of the bias.
  GroupQueryAttentionShape attention;
  bool packed = false;
  uint32_t rotary_dim = 0;
  bool interleaved = false;
  RotaryPositions positions = RotaryPositions::kSeqlens;  // or kPositionIds
  uint32_t rotary_rows = 1;                               // rows of cos and sin
  bool has_norm = false;
  float epsilon = 1e-6f;

  bool operator==(const GroupQueryAttentionDecodeShape&) const = default;
  uint32_t row() const {
    return (attention.heads + (packed ? 2 * attention.kv_heads : 0)) * attention.head_size;
  }
};

// Largest number of query rows; the other kernels take more.
constexpr uint32_t kMaxDecodeSequence = 8;

// Mirrors Params in group_query_attention_decode.wgsl.
struct GroupQueryAttentionDecodeParams {
  uint32_t capacity;      // rows of a sequence
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
  uint32_t head_rows;  // rows of a head of the caches
  uint32_t pad[2];
};
static_assert(sizeof(GroupQueryAttentionDecodeParams) == 64 &&
              offsetof(GroupQueryAttentionDecodeParams, scale) == 40);

GroupQueryAttentionDecodeParams GroupQueryAttentionDecodeParamsOf(
    const GroupQueryAttentionDecodeShape& shape);

// Returns the variants that fit, the default first. `sg.s16.wg256` has subgroups, 16 splits of the
// keys and workgroups of 256 threads; `s16.wg64` has no subgroups. Empty if the kernel does not
// fit: more rows than kMaxDecodeSequence, a head size that is no multiple of 8 or above 512, half
// of rotary_dim no multiple of 8, or more storage buffers than the adapter can bind.
std::vector<std::string> GroupQueryAttentionDecodeVariants(
    const Caps& caps, const GroupQueryAttentionDecodeShape& shape);

// Plans one dispatch. Takes also variants that are not worth a try: 1, 2, 4, ... or 64 splits. The
// result of a sequence depends on the variant, but not on the other sequences, their number or the
// pages. Throws Error for a variant that is unknown or does not fit, and for a shape without
// variants.
KernelPlan PlanGroupQueryAttentionDecode(const Caps& caps,
                                         const GroupQueryAttentionDecodeShape& shape,
                                         std::string_view variant = "");

// Returns the same plans for measuring.
Tunable GroupQueryAttentionDecodeTunable(const Caps& caps,
                                         const GroupQueryAttentionDecodeShape& shape);

// Returns the part of a prelude that group_query_attention_pairs.wgsl and
// group_query_attention_inputs.wgsl require, without kUnits, kLanes and kWorkgroupSize. `pairs` is
// 1, 2 or 4. `f16` tells whether activations are f16.
std::string GroupQueryAttentionInputsPrelude(const GroupQueryAttentionDecodeShape& shape,
                                             uint32_t pairs, bool f16);

struct GroupQueryAttentionDecodeInputs {
  std::span<const double> query, key, value, seqlens_k, cos, sin, q_norm_weight, k_norm_weight,
      position_ids, head_sink, attention_bias, page_table;
};

// Returns the output of the composition in double, from the references of its parts, and updates
// the caches. Cached keys and values are rounded to `cache_dtype`.
std::vector<double> GroupQueryAttentionDecodeReference(
    const GroupQueryAttentionDecodeShape& shape, const GroupQueryAttentionDecodeInputs& inputs,
    std::span<double> k_cache, std::span<double> v_cache, DType cache_dtype);

}  // namespace sinter::kernels

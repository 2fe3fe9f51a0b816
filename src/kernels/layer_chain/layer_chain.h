// Several MatMulNBits of one row in one dispatch, each of which takes what the one before gives: a
// layer's QKV, output projection, gate and up, and down, with the norms, gates, biases and
// residuals around them, and before one of them its attention; for one layer or for many.
//
//   row_0 = x
//   row_i = Y_(i - 1), at `attention_at` GroupQueryAttention of it, whose caches get key and value
//   Y_i = MatMulNBits(row_i) by shape_i (matmul_nbits.h), its residual from outside, x, or a
//         Y_j, j < i
//   x of the next layer = Y of the last link
//
// The first x is an input, or with a ChainTable the row of a token's embedding, as of
// kernels/gather or kernels/gather_block_quantized.
//
// Every workgroup has a part of each link, and waits between two links until the others have
// theirs. So the GPU has to hold all workgroups at once, which WebGPU does not promise; where it
// does not, waiting ends after a bounded time, and a word says so. Whether a GPU holds so many has
// to be tried (run/measurement.h); a CPU that acts as one holds as many as it has threads.
//
// Bindings: 0 ChainParams; 1 x of the first layer, f16, or the table, f16 or codes; 2 rows u32; 3
// vectors f16, biases and scales of norms (ChainVectors); of the attention 4 k_cache, 5 v_cache, 6
// seqlens_k (a uniform) and 7 the rotary caches of cos and sin, one behind the other, as in
// group_query_attention_decode.h; then for link i from 8 + 4 i on: B, scales, residual (where it is
// kOutside), Y (where `bound`); of a table 24 the token i32 (a uniform) and, where it has codes, 25
// their scales f16. Vectors, caches, B and scales are those of all layers, one behind
// the other.
//
// A dispatch's row_words of `rows` have to be zero before its first run. Word kChainStuckWord is
// none of them, and every chain's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/gather/gather.h"
#include "kernels/gather_block_quantized/gather_block_quantized.h"
#include "kernels/group_query_attention/group_query_attention_decode.h"
#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// Links that one dispatch takes at most.
inline constexpr size_t kMaxChainLinks = 4;

struct LayerChainRoles {
  static constexpr Role kX{1}, kTable{1, Access::kReadRows}, kRows{2, Access::kScratch},
      kVectors{3}, kKeyCache{4, Access::kReadWrite}, kValueCache{5, Access::kReadWrite},
      kSeqlens{6}, kRotary{7, Access::kReadRows}, kToken{24}, kTableScales{25, Access::kReadRows};
  // Of link i.
  static constexpr Role B(size_t i) { return {LinkBinding(i)}; }
  static constexpr Role Scales(size_t i) { return {LinkBinding(i) + 1}; }
  static constexpr Role Residual(size_t i) { return {LinkBinding(i) + 2}; }
  static constexpr Role Y(size_t i) { return {LinkBinding(i) + 3, Access::kWrite}; }

 private:
  static constexpr uint32_t LinkBinding(size_t i) { return 8 + 4 * static_cast<uint32_t>(i); }
};

struct ChainLink {
  static constexpr int kNone = -3, kOutside = -2, kInput = -1;

  MatMulNBitsShape shape;
  // Where the residual is from: nowhere, a binding, x, or the link whose Y it is. kNone where and
  // only where the shape has no residual.
  int residual = kNone;
  // Whether Y goes to a binding, for others than later links; of several layers that of the last
  // link of the last one, and no other.
  bool bound = true;
  bool operator==(const ChainLink&) const = default;
};

// [rows, k of the first link], of which a negative token counts from the end, and one past the end
// is clamped.
struct ChainTable {
  uint32_t rows = 1;
  // 0: elements of f16. Else codes of 4 bits, less 8, in blocks of so many.
  uint32_t block_size = 0;
  bool operator==(const ChainTable&) const = default;
};
// The table that a lookup reads where a chain may begin with it: one token, rows of f16 or of codes
// of 4 bits as they lie.
std::optional<ChainTable> ChainTableOf(const Caps& caps, const GatherShape& shape);
std::optional<ChainTable> ChainTableOf(const Caps& caps, const GatherBlockQuantizedShape& shape);

// The operands of such a lookup.
struct ChainTableRoles {
  Role table, token, scales, row;
};
ChainTableRoles RolesOf(const ChainTable& table);

// What a dispatch is that may become part of a chain with others.
using ChainPart = std::variant<MatMulNBitsShape, GroupQueryAttentionDecodeShape, ChainTable>;

struct Chain {
  std::optional<ChainTable> table;
  std::optional<GroupQueryAttentionDecodeShape> attention;
  // The link that multiplies what the attention gives: 0, where the attention takes x, or 1.
  size_t attention_at = 0;
  std::vector<ChainLink> links;
  uint32_t layers = 1;
  // Rows of a head in the caches from one layer to the next.
  uint32_t cache_layer = 0;
  bool operator==(const Chain&) const = default;
};

// Mirrors Params in layer_chain_operands.wgsl.
struct ChainParams {
  GroupQueryAttentionDecodeParams attention;
  uint32_t rows;  // where in `rows` its own begin, in words
  uint32_t layers;
  uint32_t cache_layer;
  uint32_t pad;
};
static_assert(sizeof(ChainParams) == 80 && offsetof(ChainParams, rows) == 64);

// What does not change the result but for rounding, and is chosen by measurement.
struct ChainTuning {
  uint32_t workgroup = 512;  // threads
  uint32_t workgroups = 128;
  uint32_t ahead = 6;  // rows times chunks that a thread asks for at once
  bool operator==(const ChainTuning&) const = default;
};

// `chain.wg512x128.a6`.
std::string ChainVariant(const ChainTuning& tuning);

// The word of `rows` that becomes 1, and stays so, where a workgroup has waited in vain.
inline constexpr uint32_t kChainStuckWord = 0;

// What `vectors` has of a layer, one behind the other, and where, in elements.
struct ChainVectors {
  struct Link {
    uint32_t norm = 0, bias = 0;  // norm_scale [k], bias [b_rows]
  };
  std::vector<Link> links;
  uint32_t q_norm = 0, k_norm = 0;  // [head_size], the last ones
  uint32_t count = 0;               // of all elements
};
ChainVectors LayOutChainVectors(const Chain& chain);

// Whether a product can be a link at all: one row of f16, 4 bits in blocks from 32 on without zero
// points, norms of f16 without a skip, whole; on an adapter with packed dot products and subgroups
// of one size.
bool IsChainLink(const Caps& caps, const MatMulNBitsShape& shape);

// Whether a chain can have an attention: one packed row of f16, at most four heads a group that
// one subgroup's lanes span, no sink, bias or position ids.
bool IsChainAttention(const Caps& caps, const GroupQueryAttentionDecodeShape& shape);

// Those worth a try on this adapter, the best guess first. Empty where the chain does not fit: its
// bindings, its rows in workgroup memory, its outputs in 8 rows of B a subgroup, or links that do
// not go together.
std::vector<ChainTuning> ChainTunings(const Caps& caps, const Chain& chain);

// Plans the dispatch with any numbers that the adapter can do. Its params have no place in `rows`
// yet. Throws Error where the chain or the tuning does not fit.
KernelPlan PlanLayerChain(const Caps& caps, const Chain& chain, const ChainTuning& tuning);
// With the tuning among ChainTunings() that `variant` names, or the best guess. Throws Error where
// there is none.
KernelPlan PlanLayerChain(const Caps& caps, const Chain& chain, std::string_view variant = "");

// Puts the plan's place in `rows`, a word, into its params.
void PlaceChainRows(uint64_t word, KernelPlan& plan);

// The same plans, for measuring.
Tunable LayerChainTunable(const Caps& caps, const Chain& chain);

}  // namespace sinter::kernels

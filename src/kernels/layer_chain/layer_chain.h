// Several MatMulNBits of one row in one dispatch, each of which reads the result of the previous
// one: a layer's QKV, output projection, gate and up, and down, with the norms, gates, biases and
// residuals around them, and before one of them the layer's attention; for one layer or for many.
//
//   row_0 = x
//   row_i = Y_(i - 1); at `attention_at` the GroupQueryAttention of it, which appends to the caches
//   Y_i = MatMulNBits(row_i) by shape_i (matmul_nbits.h), its residual from outside, x, or a
//         Y_j, j < i
//   x of the next layer = Y of the last link
//
// The first x is an input or, with a ChainTable, the row of a token's embedding, as in
// kernels/gather or kernels/gather_block_quantized.
//
// Every workgroup computes a part of each link, and between two links it waits until the others
// have computed theirs. The GPU must run all workgroups at once, which WebGPU does not guarantee.
// If it does not, waiting ends after a bounded time, and word kChainStuckWord tells. Only a trial
// shows how many workgroups a GPU runs at once (run/measurement.h); a software GPU runs as many as
// it has threads.
//
// Operands; vectors, caches, B and scales are concatenated over all layers:
//   x              of the first layer, f16; or table: f16 or codes
//   rows           u32; the row_words of a dispatch must be zero before its first run. The word
//                  kChainStuckWord is not among them; all chains share it.
//   vectors        f16, biases and norm scales (ChainVectors)
//   key, value     caches of the attention, seqlens and page_table (uniforms), and rotary: the
//   caches
//                  of cos and sin concatenated, as in group_query_attention_decode.h
//   of each link   B, scales, residual (if it is kOutside), Y (if `bound`)
//   of a table     token i32 (a uniform) and, for codes, their scales f16
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

// Upper bound on the links of a dispatch.
inline constexpr size_t kMaxChainLinks = 4;

struct LayerChainRoles {
  static constexpr Role kX{1}, kTable{1, Access::kReadRows}, kRows{2, Access::kScratch},
      kVectors{3}, kKeyCache{4, Access::kReadWrite}, kValueCache{5, Access::kReadWrite},
      kSeqlens{6}, kRotary{7, Access::kReadRows}, kToken{24}, kTableScales{25, Access::kReadRows},
      kPageTable{26};
  // Roles of the operands of link i.
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
  // Source of the residual: none, a binding, x, or the link whose Y it is. It is kNone if and only
  // if the shape has no residual.
  int residual = kNone;
  // Tells whether Y is written to a binding, for readers other than later links. A chain of several
  // layers binds only the last Y of the last layer.
  bool bound = true;
  bool operator==(const ChainLink&) const = default;
};

// Table [rows, k of the first link]. A negative token counts from the end, and one past the end is
// clamped.
struct ChainTable {
  uint32_t rows = 1;
  // 0 means elements of f16. Otherwise codes of 4 bits, minus 8, in blocks of this size.
  uint32_t block_size = 0;
  bool operator==(const ChainTable&) const = default;
};
// Return the table of a lookup that a chain may begin with: one token, rows of f16 or of codes of 4
// bits. Return nothing for other lookups.
std::optional<ChainTable> ChainTableOf(const Caps& caps, const GatherShape& shape);
std::optional<ChainTable> ChainTableOf(const Caps& caps, const GatherBlockQuantizedShape& shape);

// Roles of the operands of such a lookup.
struct ChainTableRoles {
  Role table, token, scales, row;
};
ChainTableRoles RolesOf(const ChainTable& table);

// Kinds of dispatches that may become part of a chain.
using ChainPart = std::variant<MatMulNBitsShape, GroupQueryAttentionDecodeShape, ChainTable>;

struct Chain {
  std::optional<ChainTable> table;
  std::optional<GroupQueryAttentionDecodeShape> attention;
  // Index of the link that multiplies the attention's output: 0 if the attention reads x, otherwise
  // 1.
  size_t attention_at = 0;
  std::vector<ChainLink> links;
  uint32_t layers = 1;
  // Distance between layers in the caches, in rows of a head.
  uint32_t cache_layer = 0;
  bool operator==(const Chain&) const = default;
};

// Mirrors Params in layer_chain_operands.wgsl.
struct ChainParams {
  GroupQueryAttentionDecodeParams attention;
  uint32_t rows;  // offset of the chain's own rows in `rows`, in words
  uint32_t layers;
  uint32_t cache_layer;
  uint32_t pad;
};
static_assert(sizeof(ChainParams) == 80 && offsetof(ChainParams, rows) == 64);

// Parameters that are chosen by measurement. They change the result only by rounding.
struct ChainTuning {
  uint32_t workgroup = 512;  // threads
  uint32_t workgroups = 128;
  uint32_t ahead = 6;  // rows times chunks that a thread loads at once
  bool operator==(const ChainTuning&) const = default;
};

// Returns a name such as `chain.wg512x128.a6`.
std::string ChainVariant(const ChainTuning& tuning);

// Word of `rows` that becomes 1, and stays 1, once a workgroup has waited in vain.
inline constexpr uint32_t kChainStuckWord = 0;

// Contents of `vectors` for one layer, concatenated: offsets in elements.
struct ChainVectors {
  struct Link {
    uint32_t norm = 0, bias = 0;  // norm_scale [k], bias [b_rows]
  };
  std::vector<Link> links;
  uint32_t q_norm = 0, k_norm = 0;  // [head_size], the last ones
  uint32_t count = 0;               // number of all elements
};
ChainVectors LayOutChainVectors(const Chain& chain);

// Returns whether a product can be a link: one row of f16, whole, with codes of 4 bits in blocks of
// 32 or more without zero points, and norms of f16 without a skip. The adapter must have packed dot
// products and subgroups of one size.
bool IsChainLink(const Caps& caps, const MatMulNBitsShape& shape);

// Returns whether a chain can contain the attention: one packed row of f16, at most four heads per
// group, heads that one subgroup's lanes span, a page table that a uniform binding can hold, and no
// sink, bias or position ids.
bool IsChainAttention(const Caps& caps, const GroupQueryAttentionDecodeShape& shape);

// Returns the tunings worth a try on this adapter, the best guess first. Empty if the chain does
// not fit: its bindings, its rows in workgroup memory, its outputs in 8 rows of B per subgroup, or
// links that do not fit together.
std::vector<ChainTuning> ChainTunings(const Caps& caps, const Chain& chain);

// Plans one dispatch with any tuning that the adapter can run. The params have no offset in `rows`
// yet (PlaceChainRows). Throws Error if the chain or the tuning does not fit.
KernelPlan PlanLayerChain(const Caps& caps, const Chain& chain, const ChainTuning& tuning);
// Plans one dispatch with the tuning among ChainTunings() that `variant` names, or with the best
// guess. Throws Error if there is none.
KernelPlan PlanLayerChain(const Caps& caps, const Chain& chain, std::string_view variant = "");

// Sets the offset in `rows`, in words, in the plan's params.
void PlaceChainRows(uint64_t word, KernelPlan& plan);

// Returns the same plans for measuring.
Tunable LayerChainTunable(const Caps& caps, const Chain& chain);

}  // namespace sinter::kernels

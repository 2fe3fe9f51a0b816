// Several MatMulNBits of one row in one dispatch, each of which takes what the one before gives:
// output projection, gate and up, down, and the next layer's QKV, with the norms, gates, biases and
// residuals around them; before the first of them the layer's attention.
//
//   row_0 = input, or GroupQueryAttention(input), whose caches get the new key and value
//   row_i = Y_(i - 1)
//   Y_i = MatMulNBits(row_i) by shape_i (matmul_nbits.h), its residual from outside or a Y_j, j < i
//
// Every workgroup has a part of each link, and waits between two links until the others have
// theirs. So the GPU has to hold all workgroups at once, which WebGPU does not promise; where it
// does not, waiting ends after a bounded time, and a word says so. Whether a GPU holds so many has
// to be tried (exec/planner.h); a CPU that acts as one holds as many as it has threads.
//
// Bindings: 0 ChainParams; 1 the input, f16; 2 rows u32; 3 vectors f16, biases and scales of norms
// (ChainVectors); of the attention 4 k_cache, 5 v_cache, 6 seqlens_k (a uniform) and 7 the rotary
// caches of cos and sin, one behind the other, as in group_query_attention_decode.h; then for link
// i from 8 + 4 i on: B, scales, residual, Y (where its result is kBound).
//
// A dispatch's own row_words of `rows` have to be zero, and are not afterwards. It gives zeros
// again to those of another dispatch, of any chain, that ran before. Word kChainStuckWord is none
// of them, and every chain's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/group_query_attention/group_query_attention_decode.h"
#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// Links that one dispatch takes at most.
inline constexpr size_t kMaxChainLinks = 4;

struct ChainLink {
  static constexpr int kNone = -2, kOutside = -1;
  // Where Y goes: only to later links, to a binding, or to the residual that link `in_place_of`
  // reads, of which nobody else has need.
  enum class Result { kInner, kBound, kInPlace };

  MatMulNBitsShape shape;
  // Where the residual is from: nowhere, a binding, or the link whose Y it is. kNone where and only
  // where the shape has no residual.
  int residual = kNone;
  Result result = Result::kBound;
  size_t in_place_of = 0;
};

struct Chain {
  std::optional<GroupQueryAttentionDecodeShape> attention;
  std::vector<ChainLink> links;
};

// Mirrors Params in matmul_nbits_chain_operands.wgsl.
struct ChainParams {
  GroupQueryAttentionDecodeParams attention;
  uint32_t rows;  // where in `rows` its own begin, in words
  uint32_t old_rows;
  uint32_t old_words;
  uint32_t pad;
};
static_assert(sizeof(ChainParams) == 80 && offsetof(ChainParams, rows) == 64);

// What does not change the result but for rounding, and is chosen by measurement.
struct ChainTuning {
  uint32_t workgroup = 512;  // threads
  uint32_t workgroups = 132;
  uint32_t ahead = 6;  // rows times chunks that a thread asks for at once
  bool operator==(const ChainTuning&) const = default;
};

// `chain.wg512x132.a12`.
std::string ChainVariant(const ChainTuning& tuning);

struct ChainPlan {
  // Its params have no places in `rows` yet.
  KernelPlan kernel;
  // What the dispatch needs of `rows`; the same for every variant but for the attention's splits.
  uint64_t row_words = 0;
};

// The word of `rows` that becomes 1, and stays so, where a workgroup has waited in vain.
inline constexpr uint32_t kChainStuckWord = 0;

// What `vectors` has, one behind the other, and where, in elements.
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
bool IsChainLink(const gpu::Caps& caps, const MatMulNBitsShape& shape);

// Whether an attention can begin a chain: one packed row of f16, at most four heads a group that
// one subgroup's lanes span, no sink, bias or position ids.
bool IsChainAttention(const gpu::Caps& caps, const GroupQueryAttentionDecodeShape& shape);

// The variants worth a try on this adapter, the best guess first. Empty where the chain does not
// fit: its bindings, its rows in workgroup memory, its outputs in 8 rows of B a subgroup, or links
// that do not go together.
std::vector<std::string> ChainVariants(const gpu::Caps& caps, const Chain& chain);

// Plans the dispatch. Any numbers may stand in `variant`, as far as the adapter can do them. Throws
// Error for another variant, or a chain that has none.
ChainPlan PlanMatMulNBitsChain(const gpu::Caps& caps, const Chain& chain,
                               std::string_view variant = "");

}  // namespace sinter::kernels

// Several MatMulNBits of one row in one dispatch, each of which takes what the one before gives:
// output projection, gate and up, down, and the next layer's QKV, with the norms, gates, biases and
// residuals around them.
//
//   row_0 = input;  row_i = Y_(i - 1)
//   Y_i = MatMulNBits(row_i) by shape_i (matmul_nbits.h), its residual from outside or a Y_j, j < i
//
// Every workgroup has a part of each link, and waits between two links until the others have
// theirs. So the GPU has to hold all workgroups at once, which WebGPU does not promise; where it
// does not, waiting ends after a bounded time, and a word says so. Whether a GPU holds so many has
// to be tried (exec/planner.h); a CPU that acts as one holds as many as it has threads.
//
// Bindings: 1 row_0 f16 [k_0], 2 rows u32 [row_words], 3 old_rows u32; then for link i from 4 + 6 i
// on: B, scales, bias, norm_scale, residual (from outside only), Y (where somebody else reads it).
// No uniform.
//
// `rows` has to be zero but for its first kChainHeadWords words, and is not afterwards. `old_rows`
// is what an earlier dispatch, of any chain, had as `rows`: it gets zeros again, but for its head.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// Links that one dispatch takes at most.
inline constexpr size_t kMaxChainLinks = 4;

struct ChainLink {
  static constexpr int kNone = -2, kOutside = -1;

  MatMulNBitsShape shape;
  // Where the residual is from: nowhere, a binding, or the link whose Y it is. kNone where and only
  // where the shape has no residual.
  int residual = kNone;
  // Whether Y has a binding; else only later links see it.
  bool keeps = true;
};

// What does not change the result but for rounding, and is chosen by measurement.
struct ChainTuning {
  uint32_t workgroup = 512;  // threads
  uint32_t workgroups = 132;
  uint32_t ahead = 12;  // rows times chunks that a thread asks for at once
  bool operator==(const ChainTuning&) const = default;
};

// `chain.wg512x132.a12`.
std::string ChainVariant(const ChainTuning& tuning);

struct ChainPlan {
  KernelPlan kernel;
  // All that `rows` has to hold; the same for every variant.
  uint64_t row_words = 0;
};

// At the beginning of `rows`: as many words as any adapter aligns a binding to.
inline constexpr uint32_t kChainHeadWords = 64;
// The one of them that becomes 1, and stays so, where a workgroup has waited in vain.
inline constexpr uint32_t kChainStuckWord = 0;

// Whether a product can be a link at all: one row of f16, 4 bits in blocks from 32 on without zero
// points, norms of f16 without a skip, whole; on an adapter with packed dot products and subgroups
// of one size.
bool IsChainLink(const gpu::Caps& caps, const MatMulNBitsShape& shape);

// The variants worth a try on this adapter, the best guess first. Empty where the chain does not
// fit: its bindings, its rows in workgroup memory, its outputs in 8 rows of B a subgroup, or links
// that do not go together.
std::vector<std::string> ChainVariants(const gpu::Caps& caps, std::span<const ChainLink> links);

// Plans the dispatch. Any numbers may stand in `variant`, as far as the adapter can do them. Throws
// Error for another variant, or a chain that has none.
ChainPlan PlanMatMulNBitsChain(const gpu::Caps& caps, std::span<const ChainLink> links,
                               std::string_view variant = "");

}  // namespace sinter::kernels

// Fusion level `chain`: an attention of one row and the products up to the next one as one dispatch
// (kernels/matmul_nbits/matmul_nbits_chain.h).
#pragma once

#include "exec/lowering.h"
#include "kernels/matmul_nbits/matmul_nbits_chain.h"

namespace sinter::exec {

// Replaces runs of dispatches of which each multiplies what the one before gives, an attention
// before them, as far as the kernel takes them. Forced `variants` of `matmul_nbits_chain` and the
// `choices` hold for them.
void ChainProducts(Lowered& lowered, const gpu::Caps& caps, const ForcedVariants& variants,
                   const Choices& choices);

// Where in a program's rows those of its first chain begin, in words.
inline constexpr uint32_t kFirstChainRow = kernels::kChainStuckWord + 1;

// Whether a chain reads but a row of this operand.
bool IsTableOfChain(size_t operand);

}  // namespace sinter::exec

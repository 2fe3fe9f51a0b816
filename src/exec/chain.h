// Fusion level `chain`: an attention of one row and the products up to the next one as one dispatch
// (kernels/matmul_nbits/matmul_nbits_chain.h).
#pragma once

#include <span>

#include "exec/lowering.h"

namespace sinter::exec {

// Replaces runs of dispatches of which each multiplies what the one before gives, an attention
// before them, as far as the kernel takes them. Forced `variants` of `matmul_nbits_chain` and the
// `choices` hold for them.
void ChainProducts(Lowered& lowered, const gpu::Caps& caps, const ForcedVariants& variants,
                   const Choices& choices);

// Whether the workgroups of a chain waited for each other in vain; `rows`: all bytes of the
// program's rows.
bool IsStuckChain(const Dispatch& chain, std::span<const std::byte> rows);

// Whether a chain reads but a row of this operand.
bool IsTableOfChain(size_t operand);

}  // namespace sinter::exec

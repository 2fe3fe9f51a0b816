// Fusion level `chain`: the products of one row between two attentions as one dispatch
// (kernels/matmul_nbits/matmul_nbits_chain.h).
#pragma once

#include <span>

#include "exec/lowering.h"

namespace sinter::exec {

// Replaces runs of dispatches of which each multiplies what the one before gives, as far as the
// kernel takes them. Forced `variants` of `matmul_nbits_chain` and the `choices` hold for them.
void ChainProducts(Lowered& lowered, const gpu::Caps& caps, const ForcedVariants& variants,
                   const Choices& choices);

// What the workgroups of a chain hand its rows on by.
BufferRef RowsOfChain(const Dispatch& chain);

// Whether they waited for each other in vain; `rows`: all bytes of the program's rows.
bool IsStuckChain(const Dispatch& chain, std::span<const std::byte> rows);

}  // namespace sinter::exec

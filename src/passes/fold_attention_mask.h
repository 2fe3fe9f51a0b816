// Replaces the sum of the attention mask by an input: the number of valid positions, which the
// runtime knows.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Name of the input that FoldAttentionMask adds: one integer, the number of past and new positions
// together. Shape [1] or [1, 1], i64 or i32.
inline constexpr std::string_view kTotalLength = "sinter.total_length";

// Returns the number of reductions replaced. Removes the mask from the graph's inputs if nothing
// else reads it.
int FoldAttentionMask(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

// The sum of the attention mask becomes an input: the number of valid positions, which the runtime
// knows.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// The input that FoldAttentionMask makes: one integer, past and new positions together. Shape [1]
// or [1, 1], i64 or i32.
inline constexpr std::string_view kTotalLength = "sinter.total_length";

// Returns the number of reductions replaced. The mask goes from the graph's inputs where nothing
// else reads it.
int FoldAttentionMask(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

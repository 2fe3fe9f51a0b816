// Computes logits of the last row only.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// The graph input, i64 [1], that holds the row of the sequence whose logits are wanted.
inline constexpr char kLastRow[] = "sinter.last_row";

// Returns 1 where the logits were cut down to one row, else 0.
int LastRowLogits(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

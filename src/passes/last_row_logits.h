// Computes the logits of the last row only.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Name of the graph input, i64 [1], that holds the index of the row of the sequence whose logits
// are wanted.
inline constexpr char kLastRow[] = "sinter.last_row";

// Returns 1 if the logits were reduced to one row, else 0.
int LastRowLogits(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

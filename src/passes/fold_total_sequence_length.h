#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Makes attention's total_sequence_length a constant if its cache is updated in place. Returns the
// number of nodes changed.
int FoldTotalSequenceLength(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

// Removes nodes that do not lead to a graph output, and constants that nobody reads.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Returns the number of nodes removed. Graph inputs stay, read or not: they are the graph's
// interface.
int EliminateDead(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

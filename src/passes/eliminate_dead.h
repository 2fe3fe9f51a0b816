// Removes nodes that do not lead to a graph output, and constants that nothing reads.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Returns the number of nodes removed. Keeps all graph inputs, even those that nothing reads,
// because they are the graph's interface.
int EliminateDead(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

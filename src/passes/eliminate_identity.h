// Identity(x) -> x, and Cast(x) -> x where x has that type already.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Returns the number of nodes removed.
int EliminateIdentity(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

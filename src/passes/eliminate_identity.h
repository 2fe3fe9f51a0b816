// Removes nodes that return their input: Identity(x), and Cast(x) where x already has the type.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Returns the number of nodes removed.
int EliminateIdentity(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

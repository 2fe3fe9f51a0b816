#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Moves the norms of query and key into attention. Returns the number of nodes of attention
// changed.
int FuseQkNorm(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

// Removes gathers that can only take the one element there is.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Returns the number of nodes replaced.
int EliminateUnitGather(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

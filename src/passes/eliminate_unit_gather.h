// Removes gathers along an axis of one element that take this one element.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Returns the number of nodes removed.
int EliminateUnitGather(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

// Computes only the rows that somebody needs.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Returns the number of gathers that moved. Wants static shapes.
int HoistGather(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

// Moves a gather of rows up, so that only the rows that are needed are computed.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Returns the number of gathers moved. Requires static shapes: a gather without them stays.
int HoistGather(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Makes attention read packed query, key and value instead of the outputs of their Split. Returns
// the number of nodes of attention changed.
int DropQkvSplit(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

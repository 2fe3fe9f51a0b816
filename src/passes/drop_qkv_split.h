#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Lets attention read the packed query, key and value instead of their Split.
int DropQkvSplit(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

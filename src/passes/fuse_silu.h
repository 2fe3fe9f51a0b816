#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Replaces x * sigmoid(x) by one node. Returns the number of replacements.
int FuseSilu(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

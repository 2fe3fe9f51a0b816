#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Turns x * sigmoid(x) into one node.
int FuseSilu(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

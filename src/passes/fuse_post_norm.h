#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Takes the norm of a fused node's skip into the node.
int FusePostNorm(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

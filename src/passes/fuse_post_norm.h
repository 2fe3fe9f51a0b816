#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Fuses the norm of a fused node's skip into this node. Returns the number of norms fused.
int FusePostNorm(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

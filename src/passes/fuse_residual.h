#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Fuses a quantized product with the addition of the residual after it. Returns the number of fused
// nodes.
int FuseResidual(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

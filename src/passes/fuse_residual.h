#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Joins a quantized product with the addition to the residual behind it.
int FuseResidual(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Fuses a norm and the only product that reads it. Returns the number of fused nodes.
int FuseHeadNorm(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

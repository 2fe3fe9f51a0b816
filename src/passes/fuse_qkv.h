#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Fuses the norm and the products before attention. Returns the number of fused nodes.
int FuseQkv(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Fuses the norm, both products and the activation of a gated MLP. Returns the number of fused
// nodes.
int FuseMlp(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

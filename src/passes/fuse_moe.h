#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Fuses a quantized mixture of experts with its router and the norm before both. Returns the number
// of fused nodes.
int FuseMoe(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

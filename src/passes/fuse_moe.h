#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Joins a quantized mixture of experts with its router and the norm before both.
int FuseMoe(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

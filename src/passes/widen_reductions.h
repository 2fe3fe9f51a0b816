#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Computes reductions of f16, and what lies between them and elementwise operators, in f32. Returns
// the number of nodes that compute in f32 afterwards.
int WidenReductions(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

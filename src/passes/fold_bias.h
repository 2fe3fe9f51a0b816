#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Turns a constant that is added to a quantized product into the product's bias. Returns the number
// of additions removed.
int FoldBias(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

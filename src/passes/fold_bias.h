#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Folds a constant that is added to a quantized product into its bias.
int FoldBias(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Replaces a layer norm that is spelled out by one node. Returns the number of replacements.
int FuseLayerNorm(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Replaces an RMS norm that is spelled out by one node. Returns the number of replacements.
int FuseRmsNorm(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Lets the product that makes the logits of one row choose the largest of them itself.
int FuseArgmax(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Moves the rotary embedding of query and key into attention. Returns the number of nodes of
// attention changed.
int FuseRotary(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

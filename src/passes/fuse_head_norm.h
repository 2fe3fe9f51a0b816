#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Joins a norm and the one product that reads it.
int FuseHeadNorm(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Joins the norm and the products before attention.
int FuseQkv(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

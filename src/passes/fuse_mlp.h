#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Joins the norm, both products and the activation of a gated MLP.
int FuseMlp(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes

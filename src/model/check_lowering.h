// Checks at load that a model can run.
#pragma once

#include "graph/graph.h"
#include "model/genai_config.h"
#include "model/rewrite.h"

namespace sinter::model {

// Lowers the program of one token, in the form of run that the graph needs, as for an adapter
// without limits, which uses no GPU. Throws Error that names the node if the graph has an operator,
// a type or a shape that has no kernel.
void CheckLowering(const graph::Graph& graph, const GenaiConfig& config, const RunForm& form);

}  // namespace sinter::model

// Checks that a graph is whole: what every reader must give and every pass must leave.
#pragma once

#include "graph/graph.h"

namespace sinter::graph {

// Throws Error where: a value that is read has no producer and is no input, capture or constant; a
// constant has a producer, another type than its elements, or too few bytes; nodes are not in
// topological order; a node is none that CheckNode() accepts; a declared type or static shape is
// another than the operator gives; a subgraph captures what its surroundings do not have, or fails
// itself; subgraphs nest more than 16 deep. SINTER_CHECKs names and the links between values and
// nodes, which only a bug can break.
void Verify(const Graph& graph);

}  // namespace sinter::graph

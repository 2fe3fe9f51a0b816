// Checks that a graph is valid, as every reader must create it and every pass must leave it.
#pragma once

#include "graph/graph.h"

namespace sinter::graph {

// Upper bound on the depth to which subgraphs nest, in every reader. Real models reach 2.
inline constexpr int kMaxSubgraphDepth = 16;

// Throws Error if:
// - a value that is read has no producer and is neither an input nor a capture nor a constant;
// - a constant has a producer, another type than its elements, or too few bytes;
// - the nodes are not in topological order;
// - CheckNode() refuses a node;
// - a declared type or static shape differs from the one that the operator gives;
// - a subgraph captures a value that does not exist around it, or is invalid itself;
// - a subgraph has another number of outputs than its node;
// - subgraphs nest more than kMaxSubgraphDepth deep.
// SINTER_CHECKs the names and the links between values and nodes, which only a bug can break.
void Verify(const Graph& graph);

}  // namespace sinter::graph

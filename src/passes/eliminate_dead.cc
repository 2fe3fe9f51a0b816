#include "passes/eliminate_dead.h"

namespace sinter::passes {

int EliminateDead(graph::Graph& graph, const PassOptions&) {
  const size_t before = graph.num_nodes();
  graph.RemoveDead();
  return static_cast<int>(before - graph.num_nodes());
}

}  // namespace sinter::passes

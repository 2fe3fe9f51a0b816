// %y = Gather(%x, %index, axis)  ->  every reader of %y reads %x
//
// The axis has one element and the index has shape [1], so the index can only be 0. A one-token
// program selects its last row with such a gather, which would cost a dispatch.
#include "passes/eliminate_unit_gather.h"

#include "graph/ops.h"

namespace sinter::passes {
namespace {

bool TakesTheOnlyElement(const graph::Node& node) {
  if (!node.domain().empty() || node.op() != "Gather") return false;
  const graph::Value *x = node.input(0), *index = node.input(1);
  if (!x->has_static_shape() || !index->has_static_shape()) return false;
  // An index of another rank would change the output's shape.
  if (index->shape() != graph::Shape{1}) return false;
  const graph::Shape shape = x->shape();
  const int64_t axis =
      graph::NormalizeAxis(node, node.Int("axis", 0), static_cast<int64_t>(shape.size()));
  return shape[static_cast<size_t>(axis)] == 1;
}

}  // namespace

int EliminateUnitGather(graph::Graph& graph, const PassOptions&) {
  int removed = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    graph::Node* node = (it++)->get();
    if (!TakesTheOnlyElement(*node)) continue;
    graph::Value *from = node->input(0), *to = node->output(0);
    // Keeps the node if its output is a graph output and its input cannot take over the name (a
    // graph input or another graph output, say).
    if (!graph.CanReplaceAllUses(to, from)) continue;
    graph.ReplaceAllUses(to, from);
    graph.RemoveNode(node);
    ++removed;
  }
  return removed;
}

}  // namespace sinter::passes

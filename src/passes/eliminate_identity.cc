// %y = Identity(%x)            ->  every reader of %y reads %x
// %y = Cast(%x: T) {to = T}    ->  every reader of %y reads %x
//
// Each such node would cost one dispatch that copies the tensor.
#include "passes/eliminate_identity.h"

namespace sinter::passes {
namespace {

bool KeepsItsInput(const graph::Node& node) {
  if (!node.domain().empty()) return false;
  if (node.op() == "Identity") return true;
  return node.op() == "Cast" && node.Int("to", 0) == static_cast<int64_t>(node.input(0)->dtype);
}

}  // namespace

int EliminateIdentity(graph::Graph& graph, const PassOptions&) {
  int removed = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    graph::Node* node = (it++)->get();
    if (!KeepsItsInput(*node)) continue;
    graph::Value* from = node->input(0);
    graph::Value* to = node->output(0);
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

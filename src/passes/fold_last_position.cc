// %last = Sub(%sinter.total_length, 1)   ->  input %sinter.last_position
//
// This subtraction is the rest of the mask's arithmetic after fold_attention_mask. The runtime,
// which fills the total length, can fill the last position too. This saves one dispatch per step.
#include "passes/fold_last_position.h"

#include <algorithm>

#include "graph/tensor.h"
#include "passes/fold_attention_mask.h"
#include "passes/match.h"

namespace sinter::passes {
namespace {

bool IsOne(const graph::Value* value) {
  return value->constant && value->constant->num_elements() == 1 &&
         value->constant->ToInts()[0] == 1;
}

}  // namespace

int FoldLastPosition(graph::Graph& graph, const PassOptions&) {
  graph::Value* total = graph.FindValue(kTotalLength);
  const auto& inputs = graph.inputs();
  if (total == nullptr || std::find(inputs.begin(), inputs.end(), total) == inputs.end()) return 0;
  graph::Value* last = nullptr;
  int folded = 0;
  for (const auto& [node, index] : std::vector(total->uses())) {
    if (node->op() != "Sub" || !node->domain().empty() || index != 0 || !IsOne(node->input(1)))
      continue;
    graph::Value* difference = node->output(0);
    // Skips a graph output, whose name an input cannot take, and a difference of another shape than
    // the first, because the input has one shape for all readers.
    if (difference->is_graph_output() || (last != nullptr && last->dims != difference->dims))
      continue;
    if (last == nullptr) last = graph.AddInput(kLastPosition, difference->dtype, difference->dims);
    graph.ReplaceAllUses(difference, last);
    graph.RemoveNode(node);
    ++folded;
  }
  if (folded == 0) return 0;
  if (!IsRead(total)) graph.RemoveInput(total);
  graph.RemoveDead();
  return folded;
}

}  // namespace sinter::passes

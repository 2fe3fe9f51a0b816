// %sum = ReduceSum(%attention_mask, [1])          ->  input %sinter.total_length
// %sum = ReduceSum(Cast(%attention_mask), [1])    ->  the same input, of the Cast's type
//
// The mask is 1 at past and new positions and 0 after them, so its sum is the number of valid
// positions. If the KV cache is bound at its full capacity, the mask is as long as the cache. The
// rewrite saves uploading and summing it in every step.
#include "passes/fold_attention_mask.h"

#include <algorithm>

#include "graph/tensor.h"

namespace sinter::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Value;

Value* FindInput(const Graph& graph, std::string_view name) {
  const auto& inputs = graph.inputs();
  const auto found =
      std::find_if(inputs.begin(), inputs.end(), [&](const Value* v) { return v->name() == name; });
  return found == inputs.end() ? nullptr : *found;
}

// Returns whether `value` is the mask or a Cast of it to i32 or i64.
bool IsMask(const Value* value, const Value* mask) {
  if (value == mask) return true;
  const Node* cast = value->producer();
  return cast != nullptr && cast->op() == "Cast" && cast->domain().empty() &&
         cast->input(0) == mask && (value->dtype == DType::kI64 || value->dtype == DType::kI32);
}

bool SumsPositions(const Node& node, const Value* mask) {
  if (node.op() != "ReduceSum" || !node.domain().empty() || !IsMask(node.input(0), mask))
    return false;
  std::vector<int64_t> axes = node.Ints("axes", {});
  if (const Value* list = node.input(1)) {
    if (!list->constant) return false;
    axes = list->constant->ToInts();
  }
  // A sum over both axes has another shape.
  return axes.size() == 1 && (axes[0] == 1 || axes[0] == -1);
}

// Returns `total` converted to the type and shape of `like`, with the conversions inserted before
// `before`.
Value* Adapt(Graph& graph, Node* before, Value* total, const Value& like) {
  Value* value = total;
  if (value->dtype != like.dtype) {
    Value* cast = graph.AddValue(kTotalLength, like.dtype, value->dims);
    Node* node = graph.AddNode("", "", "Cast", {value}, {cast}, before);
    node->attributes["to"] = static_cast<int64_t>(like.dtype);
    value = cast;
  }
  if (value->shape() != like.shape()) {
    const graph::Shape shape = like.shape();
    Value* target = graph.AddConstant(
        "", graph::Tensor::FromInts(DType::kI64, {static_cast<int64_t>(shape.size())}, shape));
    Value* reshaped = graph.AddValue(kTotalLength, value->dtype, like.dims);
    graph.AddNode("", "", "Reshape", {value, target}, {reshaped}, before);
    value = reshaped;
  }
  return value;
}

}  // namespace

int FoldAttentionMask(Graph& graph, const PassOptions& options) {
  Value* mask = FindInput(graph, options.attention_mask);
  // A batch that the caller does not know of may be padded on the left. The sum is then not the
  // position of the next token.
  if (mask == nullptr || !mask->has_static_shape() || mask->dims->size() != 2 ||
      mask->shape()[0] != options.sequences)
    return 0;
  if (mask->dtype != DType::kI64 && mask->dtype != DType::kI32) return 0;
  Value* total = FindInput(graph, kTotalLength);
  int folded = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    Node* node = (it++)->get();
    Value* sum = node->output(0);
    // Keeps a sum that is a graph output, because an input cannot take its name.
    if (!SumsPositions(*node, mask) || sum->is_graph_output()) continue;
    if (total == nullptr) total = graph.AddInput(kTotalLength, sum->dtype, sum->dims);
    graph.ReplaceAllUses(sum, Adapt(graph, node, total, *sum));
    graph.RemoveNode(node);
    ++folded;
  }
  if (folded == 0) return 0;
  graph.RemoveDead();
  if (mask->uses().empty() && !mask->is_graph_output() && !graph.IsCaptured(mask))
    graph.RemoveInput(mask);
  return folded;
}

}  // namespace sinter::passes

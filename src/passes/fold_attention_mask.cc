// %sum = ReduceSum(%attention_mask, [1])          ->  input %sinter.total_length
// %sum = ReduceSum(Cast(%attention_mask), [1])    ->  the same, of the Cast's type
//
// The mask is one over the past and new positions, and zero behind them, so that its sum is their
// number. With the KV cache bound at its full capacity the mask would be as long: this spares its
// upload and sum in every step.
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

// The mask itself, or a cast of it to another integer type.
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
  // Over both axes the result has another shape.
  return axes.size() == 1 && (axes[0] == 1 || axes[0] == -1);
}

// `total` with another type or shape.
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
  // More rows than one may be padded on the left: then the sum is not where the next token goes.
  if (mask == nullptr || !mask->has_static_shape() || mask->dims->size() != 2 ||
      mask->shape()[0] != 1)
    return 0;
  if (mask->dtype != DType::kI64 && mask->dtype != DType::kI32) return 0;
  Value* total = FindInput(graph, kTotalLength);
  int folded = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    Node* node = (it++)->get();
    Value* sum = node->output(0);
    // A sum that is a graph output stays: an input cannot take its name.
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

#include "passes/branch_evaluator.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "graph/evaluate.h"

namespace sinter::passes {

using graph::Graph;
using graph::Node;
using graph::Shape;
using graph::Tensor;
using graph::TensorType;
using graph::Value;

Shape BindInput(const Value& input, const DimBinding& dims) {
  if (!input.dims) throw Error("graph", "input '{}': got no shape, want one", input.name());
  Shape shape;
  for (const graph::Dim& dim : *input.dims) {
    const auto bound = dims.find(dim.symbol);
    if (dim.known()) {
      shape.push_back(dim.value);
    } else if (dim.symbol.empty()) {
      throw Error("graph", "input '{}': dimension {}: got neither number nor name", input.name(),
                  shape.size());
    } else if (bound == dims.end()) {
      throw Error("graph", "input '{}': dimension '{}' is not bound to a number", input.name(),
                  dim.symbol);
    } else if (bound->second < 0) {
      throw Error("graph", "input '{}': dimension '{}': got {}, want a number >= 0", input.name(),
                  dim.symbol, bound->second);
    } else {
      shape.push_back(bound->second);
    }
  }
  graph::NumElements(shape);  // Throws Error if the product overflows.
  return shape;
}

bool BranchEvaluator::Decide(const Node& node) {
  if (const auto found = decisions_.find(&node); found != decisions_.end()) return found->second;
  graph::CheckNode(node);
  const Known& condition = Get(node.input(0));
  if (condition.dtype != DType::kBool || graph::NumElements(condition.shape) != 1) {
    throw Error("graph", "{}: condition: got {}[{}], want one bool", node.Describe(),
                DTypeName(condition.dtype), fmt::join(condition.shape, ", "));
  }
  if (!condition.constant) {
    throw Error("graph",
                "{}: its condition '{}' is known only when the model runs, want one that follows "
                "from shapes",
                node.Describe(), node.input(0)->name());
  }
  return decisions_[&node] = condition.constant->ToInts()[0] != 0;
}

BranchEvaluator& BranchEvaluator::Branch(const Node& node) {
  std::unique_ptr<BranchEvaluator>& branch = branches_[&node];
  if (branch == nullptr) {
    const auto* attribute = node.Find(Decide(node) ? "then_branch" : "else_branch");
    const Graph& subgraph = *std::get<std::shared_ptr<Graph>>(*attribute);
    if (!subgraph.inputs().empty() || subgraph.outputs().size() != node.outputs().size()) {
      throw Error("graph", "{}: its branch has {} inputs and {} outputs, want 0 and {}",
                  node.Describe(), subgraph.inputs().size(), subgraph.outputs().size(),
                  node.outputs().size());
    }
    branch = std::make_unique<BranchEvaluator>(subgraph, dims_, this);
  }
  return *branch;
}

// Uses an explicit stack, so that a long chain of nodes cannot exhaust the thread's stack.
const BranchEvaluator::Known& BranchEvaluator::Get(const Value* wanted) {
  std::vector<const Value*> stack = {wanted};
  while (!stack.empty()) {
    const Value* value = stack.back();
    if (known_.contains(value)) {
      stack.pop_back();
      continue;
    }
    if (std::optional<Known> leaf = Leaf(*value)) {
      known_.emplace(value, std::move(*leaf));
      stack.pop_back();
      continue;
    }
    const Node& node = *value->producer();
    const size_t size = stack.size();
    for (const Value* input : node.inputs()) {
      if (input != nullptr && !known_.contains(input)) stack.push_back(input);
    }
    if (stack.size() == size) {
      EvaluateNode(node);
    } else if (!begun_.insert(value).second) {
      throw Error("graph", "{}: depends on its own output, want a graph without cycles",
                  node.Describe());
    }
  }
  return known_.at(wanted);
}

std::optional<BranchEvaluator::Known> BranchEvaluator::Leaf(const Value& value) {
  if (value.constant) return Known{value.dtype, value.constant->shape, value.constant};
  if (value.producer() != nullptr) return std::nullopt;
  const auto& captures = graph_.captures();
  if (std::find(captures.begin(), captures.end(), &value) != captures.end()) {
    const Value* outer = parent_ == nullptr ? nullptr : parent_->graph_.FindValue(value.name());
    if (outer == nullptr)
      throw Error("graph", "value '{}': a subgraph reads it, but nothing produces it",
                  value.name());
    return parent_->Get(outer);
  }
  if (value.dtype == DType::kUndefined)
    throw Error("graph", "input '{}': got no type, want one", value.name());
  return Known{value.dtype, BindInput(value, dims_), std::nullopt};
}

void BranchEvaluator::EvaluateNode(const Node& node) {
  const graph::OpSpec& spec = graph::CheckNode(node);
  if (spec.infer == nullptr) {
    BranchEvaluator& branch = Branch(node);
    for (size_t i = 0; i < node.outputs().size(); ++i) {
      if (node.output(i) != nullptr)
        known_[node.output(i)] = branch.Get(branch.graph_.outputs()[i]);
    }
    return;
  }
  std::vector<TensorType> inputs;
  for (const Value* input : node.inputs()) {
    TensorType& type = inputs.emplace_back();
    if (input == nullptr) continue;
    const Known& known = known_.at(input);
    type = {known.dtype, known.shape, known.constant ? &*known.constant : nullptr};
  }
  std::vector<TensorType> types;
  std::optional<std::vector<Tensor>> tensors = graph::Evaluate(node, inputs);
  if (!tensors) types = graph::InferOutputs(node, inputs);
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    if (node.output(i) == nullptr) continue;
    if (tensors) {
      known_[node.output(i)] = Known{(*tensors)[i].dtype, (*tensors)[i].shape, (*tensors)[i]};
    } else {
      known_[node.output(i)] = Known{types[i].dtype, types[i].shape, std::nullopt};
    }
  }
}

}  // namespace sinter::passes

#include "passes/specialize.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "graph/evaluate.h"
#include "graph/ops.h"
#include "passes/branch_evaluator.h"

namespace sinter::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Tensor;
using graph::TensorType;
using graph::Value;

class Specializer {
 public:
  Specializer(const Graph& source, const DimBinding& dims, const DimBinding& branch_dims,
              const StepRoles* roles)
      : graph_(source.Clone()), evaluator_(source, Override(dims, branch_dims)) {
    Pair(source, *graph_);
    for (Value* value : graph_->values()) {
      // Drops the declared shapes: they are hints, often with symbols of their own, and inference
      // computes the real ones.
      if (!value->constant) value->dims.reset();
    }
    for (size_t i = 0; i < source.inputs().size(); ++i) {
      if (graph_->inputs()[i]->dtype == DType::kUndefined) {
        throw Error("graph", "input '{}': got no type, want one", source.inputs()[i]->name());
      }
      graph_->inputs()[i]->set_shape(BindInput(*source.inputs()[i], dims));
    }
    graph_->SortTopologically();
    if (roles != nullptr) analysis_.emplace(*graph_, *roles);
  }

  // Sets `one_row` if the graph's results are analyzed.
  std::unique_ptr<Graph> Run(bool* one_row) {
    // Stack of nodes to visit, the next one on top. An If is replaced by the nodes of its branch,
    // which are pushed onto it.
    std::vector<Node*> pending;
    for (const auto& node : graph_->nodes()) pending.push_back(node.get());
    std::reverse(pending.begin(), pending.end());
    while (!pending.empty()) {
      Node* node = pending.back();
      pending.pop_back();
      if (graph::CheckNode(*node).infer != nullptr) {
        FoldOrInfer(node);
        continue;
      }
      std::vector<Node*> inlined = Inline(node);
      pending.insert(pending.end(), inlined.rbegin(), inlined.rend());
    }
    if (analysis_) {
      analysis_->CheckResults();
      if (one_row != nullptr) *one_row = analysis_->has_one_row();
    }
    graph_->RemoveDead();
    if (Value* past = analysis_ ? graph_->FindValue(kPastLength) : nullptr;
        past != nullptr && past->uses().empty()) {
      graph_->RemoveInput(past);
    }
    for (const Value* value : graph_->outputs()) {
      if (value->dtype == DType::kUndefined || !value->has_static_shape()) {
        throw Error("graph", "output '{}': nothing produces it", value->name());
      }
    }
    return std::move(graph_);
  }

 private:
  static DimBinding Override(DimBinding dims, const DimBinding& with) {
    for (const auto& [name, value] : with) dims[name] = value;
    return dims;
  }

  // Source of a copied node. An If is decided in the graph that it comes from, because in the copy
  // values are already folded with `dims` instead of the dimensions for branches.
  struct Origin {
    BranchEvaluator* evaluator;
    const Node* node;
  };

  // Records the origins of the nodes of `copy`, which holds the nodes of `source` in the same
  // order.
  void Pair(const Graph& source, const Graph& copy) {
    auto from = source.nodes().begin();
    for (const auto& node : copy.nodes()) origins_[node.get()] = {&evaluator_, (from++)->get()};
  }

  void FoldOrInfer(Node* node) {
    std::vector<TensorType> inputs;
    for (const Value* input : node->inputs()) {
      TensorType& type = inputs.emplace_back();
      if (input == nullptr) continue;
      if (input->dtype == DType::kUndefined || !input->has_static_shape()) {
        throw Error("graph", "{}: input '{}': nothing produces it", node->Describe(),
                    input->name());
      }
      type = {input->dtype, input->shape(), input->constant ? &*input->constant : nullptr};
    }
    std::optional<std::vector<Tensor>> tensors;
    try {
      tensors = graph::Evaluate(*node, inputs);
    } catch (const Error&) {
      // Constants of lengths that stand for others may be out of a table's range, for example.
      if (!analysis_ || !analysis_->ReadsStale(*node)) throw;
    }
    if (!tensors) {
      if (analysis_) analysis_->Bind(node);
      graph::InferNode(*node);
      if (analysis_) analysis_->Derive(*node);
      return;
    }
    if (analysis_) analysis_->Fold(node, *tensors);
    const std::vector<Value*> outputs = node->outputs();
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] == nullptr) continue;
      const Tensor& tensor = (*tensors)[i];
      if (outputs[i]->dtype != DType::kUndefined && outputs[i]->dtype != tensor.dtype) {
        throw Error("graph", "{}: output '{}': declared {}, but the operator gives {}",
                    node->Describe(), outputs[i]->name(), DTypeName(outputs[i]->dtype),
                    DTypeName(tensor.dtype));
      }
      graph_->SetOutput(node, i, nullptr);
      outputs[i]->SetConstant(tensor);
    }
    graph_->RemoveNode(node);
  }

  // Replaces `node` by the nodes of the branch that it takes, and returns these nodes in order.
  std::vector<Node*> Inline(Node* node) {
    const Origin origin = origins_.at(node);
    if (analysis_) {
      if (const std::optional<bool> decided = analysis_->Decision(*node))
        origin.evaluator->Fix(*origin.node, *decided);
    }
    const bool decision = origin.evaluator->Decide(*origin.node);
    BranchEvaluator& branch = origin.evaluator->Branch(*origin.node);
    // Uses the branch of the copied node, because the values that it captures may have been renamed
    // in the copy.
    const std::shared_ptr<Graph> subgraph =
        std::get<std::shared_ptr<Graph>>(*node->Find(decision ? "then_branch" : "else_branch"));
    std::unordered_map<const Value*, Value*> twin = {{nullptr, nullptr}};
    for (const Value* capture : subgraph->captures()) {
      twin[capture] = graph_->FindValue(capture->name());
      if (twin[capture] == nullptr) {
        throw Error("graph", "{}: its branch reads '{}', which nothing produces", node->Describe(),
                    capture->name());
      }
    }
    for (const Value* value : subgraph->values()) {
      if (twin.contains(value)) continue;
      Value* copy = graph_->AddValue(value->name(), value->dtype);
      if (value->constant) copy->SetConstant(*value->constant);
      twin[value] = copy;
    }
    std::vector<Node*> nodes;
    auto source = branch.graph().nodes().begin();
    for (const auto& inner : subgraph->nodes()) {
      std::vector<Value*> inputs, outputs;
      for (const Value* value : inner->inputs()) inputs.push_back(twin.at(value));
      for (const Value* value : inner->outputs()) outputs.push_back(twin.at(value));
      Node* copy =
          graph_->AddNode(inner->name(), inner->domain(), inner->op(), inputs, outputs, node);
      copy->attributes = inner->attributes;
      for (const std::string& name : graph::CapturedNames(*copy)) {
        const Value* value = subgraph->FindValue(name);
        if (value != nullptr && twin.at(value)->name() != name) {
          throw Error("graph", "{}: value '{}' is defined both inside and outside its branch",
                      node->Describe(), name);
        }
      }
      origins_[copy] = {&branch, (source++)->get()};
      nodes.push_back(copy);
    }
    const std::vector<Value*> outputs = node->outputs();
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] == nullptr) continue;
      Value* result = twin.at(subgraph->outputs()[i]);
      if (graph_->CanReplaceAllUses(outputs[i], result)) {
        graph_->ReplaceAllUses(outputs[i], result);
        continue;
      }
      graph_->SetOutput(node, i, nullptr);
      nodes.push_back(graph_->AddNode(node->name(), "", "Identity", {result}, {outputs[i]}, node));
    }
    graph_->RemoveNode(node);
    return nodes;
  }

  std::unique_ptr<Graph> graph_;
  BranchEvaluator evaluator_;
  std::unordered_map<const Node*, Origin> origins_;
  std::optional<StepAnalysis> analysis_;
};

}  // namespace

std::unique_ptr<Graph> Specialize(const Graph& graph, const DimBinding& dims,
                                  const DimBinding& branch_dims, const StepRoles* roles,
                                  bool* one_row) {
  return Specializer(graph, dims, branch_dims, roles).Run(one_row);
}

std::vector<bool> BranchDecisions(const Graph& graph, const DimBinding& dims) {
  std::vector<bool> decisions;
  BranchEvaluator evaluator(graph, dims);
  for (const auto& node : graph.nodes()) {
    if (node->op() == "If" && node->domain().empty()) decisions.push_back(evaluator.Decide(*node));
  }
  return decisions;
}

}  // namespace sinter::passes

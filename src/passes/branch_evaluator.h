// Decides Ifs: evaluates single values of a graph with symbolic dimensions, by need. Internal to
// src/passes.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graph/graph.h"
#include "graph/ops.h"
#include "passes/specialize.h"

namespace sinter::passes {

class BranchEvaluator {
 public:
  // `graph` must outlive the evaluator; `parent` evaluates the values that it captures.
  BranchEvaluator(const graph::Graph& graph, DimBinding dims, BranchEvaluator* parent = nullptr)
      : graph_(graph), dims_(std::move(dims)), parent_(parent) {}

  // Whether `node`, an If of the graph, takes its then branch. Throws Error naming it where that
  // depends on data.
  bool Decide(const graph::Node& node);

  // The evaluator of the branch that `node`, an If of the graph, takes.
  BranchEvaluator& Branch(const graph::Node& node);

  const graph::Graph& graph() const { return graph_; }

 private:
  // What is known of a value: type and shape always, the elements where they can be computed.
  struct Known {
    DType dtype = DType::kUndefined;
    graph::Shape shape;
    std::optional<graph::Tensor> constant;
  };

  const Known& Get(const graph::Value* value);
  std::optional<Known> Leaf(const graph::Value& value);
  void EvaluateNode(const graph::Node& node);

  const graph::Graph& graph_;
  const DimBinding dims_;
  BranchEvaluator* const parent_;
  std::unordered_map<const graph::Value*, Known> known_;
  // Values whose evaluation has begun, so that a cycle ends in an error.
  std::unordered_set<const graph::Value*> begun_;
  std::unordered_map<const graph::Node*, bool> decisions_;
  std::unordered_map<const graph::Node*, std::unique_ptr<BranchEvaluator>> branches_;
};

// The shape of a graph input under `dims`. Throws Error naming the input and the symbol that is not
// bound.
graph::Shape BindInput(const graph::Value& input, const DimBinding& dims);

}  // namespace sinter::passes

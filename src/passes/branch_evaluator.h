// Decides which branch an If takes. Evaluates single values of a graph with symbolic dimensions on
// demand. Internal to src/passes.
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
  // `graph` must outlive the evaluator. `parent` evaluates the values that `graph` captures from
  // the enclosing graph; null if there is no enclosing graph.
  BranchEvaluator(const graph::Graph& graph, DimBinding dims, BranchEvaluator* parent = nullptr)
      : graph_(graph), dims_(std::move(dims)), parent_(parent) {}

  // Returns whether `node`, an If of the graph, takes its then branch. Throws Error naming the If
  // if its condition depends on data.
  bool Decide(const graph::Node& node);

  // Sets what Decide() returns for `node`.
  void Fix(const graph::Node& node, bool decision) { decisions_[&node] = decision; }

  // Returns the evaluator of the branch that `node`, an If of the graph, takes. This evaluator owns
  // it.
  BranchEvaluator& Branch(const graph::Node& node);

  const graph::Graph& graph() const { return graph_; }

 private:
  // Knowledge about a value: type and shape always, the elements if they can be computed.
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
  // Values whose evaluation has begun. A value that is met again before it is known lies on a
  // cycle, which is an error.
  std::unordered_set<const graph::Value*> begun_;
  std::unordered_map<const graph::Node*, bool> decisions_;
  std::unordered_map<const graph::Node*, std::unique_ptr<BranchEvaluator>> branches_;
};

// Returns the shape of a graph input, with its symbols replaced by the numbers in `dims`. Throws
// Error naming the input and the symbol if a symbol is not bound.
graph::Shape BindInput(const graph::Value& input, const DimBinding& dims);

}  // namespace sinter::passes

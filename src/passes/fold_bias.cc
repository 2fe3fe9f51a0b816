// %p = MatMulNBits(%x, weights)            ->  %y = MatMulNBits(%x, weights, bias = constant)
// %y = Add(%p, constant [N])
//
// The product adds its bias before it rounds, which saves one dispatch and one rounding.
//
// Gain: one dispatch per product by itself. Together with the rules that match only products
// without an Add behind them, 5 per layer (gpt-oss of two layers: 14 per token, 24 without). A
// dispatch costs 3.65 us on an H200.
#include "passes/fold_bias.h"

#include "passes/match.h"

namespace sinter::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Value;

// Returns the constant as a vector of N elements. Returns null if `value` is not a constant of N
// elements along the last dimension.
Value* AsBias(Graph& graph, Value* value, int64_t n) {
  if (!value->constant || value->constant->num_elements() != n) return nullptr;
  if (value->shape() == graph::Shape{n}) return value;
  if (value->shape().empty() || value->shape().back() != n) return nullptr;
  graph::Tensor tensor = *value->constant;
  tensor.shape = {n};
  return graph.AddConstant(value->name(), std::move(tensor));
}

}  // namespace

int FoldBias(Graph& graph, const PassOptions&) {
  int folded = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    Node* add = (it++)->get();
    if (!Is(add, "", "Add")) continue;
    for (const size_t side : {0, 1}) {
      // A product with another reader is needed without the constant.
      Node* product = ProductReadOnlyBy(add->input(side), add);
      // Skips a product that has a bias: the two would have to be added on the host.
      if (product == nullptr || product->input(5) != nullptr) continue;
      // A constant of higher rank would give the sum more dimensions than the product has.
      Value* constant = add->input(1 - side);
      if (constant->shape().size() > add->input(side)->shape().size()) continue;
      Value* bias = AsBias(graph, constant, product->Int("N", 0));
      if (bias == nullptr) continue;
      Value* y = add->output(0);
      graph.SetInput(add, side, nullptr);
      graph.SetOutput(add, 0, nullptr);
      graph.SetOutput(product, 0, y);
      graph.SetInput(product, 5, bias);
      graph.RemoveNode(add);
      ++folded;
      break;
    }
  }
  if (folded > 0) graph.RemoveDead();
  return folded;
}

}  // namespace sinter::passes

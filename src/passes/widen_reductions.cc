// %s: f16 = Mul(%x, %x)     ->  %w: f32 = Cast(%x)
// %m: f16 = ReduceSum(%s)       %s: f32 = Mul(%w, %w)
// %y: f16 = Sqrt(%m)            %m: f32 = ReduceSum(%s)
//                               %y: f16 = Cast(Sqrt(%m))
//
// A square of f16 overflows from 256 on and a sum of 128 numbers from 512 on, while the result that
// they are needed for (a norm, a mean, a quotient) would fit. ONNX Runtime's CPU provider, which
// has no arithmetic in f16, keeps such values in f32, too. Three sets of nodes compute in f32:
//
// - reductions of f16;
// - behind them elementwise nodes on values not larger than the reduction's result, and the node
//   that combines such a value with a larger one;
// - before them, and before a norm that a growing node (a product, a power) feeds, elementwise
// nodes
//   that only nodes of these sets read.
//
// It runs after the fusions, whose kernels keep such values in f32 themselves. It costs a Cast for
// each value that enters or leaves; models that spell no norm out have no such reductions.
#include "passes/widen_reductions.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "passes/match.h"

namespace sinter::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Value;

bool IsOneOf(const Node* node, std::initializer_list<std::string_view> ops) {
  return node != nullptr && node->domain().empty() &&
         std::ranges::find(ops, node->op()) != ops.end();
}

bool IsHalf(const Value* value) { return value != nullptr && value->dtype == DType::kF16; }

// Returns whether the node reduces f16 to f16.
bool IsReduction(const Node* node) {
  return IsOneOf(node, {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd",
                        "ReduceL1", "ReduceL2", "ReduceSumSquare"}) &&
         IsHalf(node->input(0));
}

// Returns whether the results of the node may be larger than its operands by any factor.
bool Grows(const Node* node) {
  return IsOneOf(node, {"Mul", "Div", "Pow", "Exp", "Reciprocal"}) && IsHalf(node->output(0));
}

// Returns whether the node computes each element of an f16 result from the elements at the same
// place of its operands.
bool IsArithmetic(const Node* node) {
  return Grows(node) ||
         (IsOneOf(node, {"Add", "Sub", "Neg", "Abs", "Sqrt", "Log", "Max", "Min", "Relu", "Sigmoid",
                         "Tanh", "Erf", "Gelu", "Clip", "Softplus"}) &&
          IsHalf(node->output(0)));
}

// Returns whether the node is a norm, which takes an f32 input for an f16 result.
bool IsNormOfAnyType(const Node* node) {
  return IsNorm(node) || IsOneOf(node, {"LayerNormalization"});
}

class Widener {
 public:
  explicit Widener(Graph& graph) : graph_(graph) {}

  int Run() {
    for (const auto& node : graph_.nodes()) {
      if (!IsReduction(node.get())) continue;
      wide_.insert(node.get());
      AddReaders(node->output(0), graph::NumElements(node->output(0)->shape()));
    }
    AddProducers();
    // Nothing lies between such a reduction and an elementwise operator, and its own sum is in f32.
    std::erase_if(wide_, [&](const Node* node) {
      const Value* result = node->output(0);
      return IsReduction(node) && !wide_.contains(node->input(0)->producer()) &&
             std::ranges::none_of(result->uses(),
                                  [&](const auto& use) { return wide_.contains(use.first); });
    });
    for (auto it = graph_.nodes().begin(); it != graph_.nodes().end();) {
      Node* node = (it++)->get();
      if (wide_.contains(node)) Widen(node, it == graph_.nodes().end() ? nullptr : it->get());
    }
    return static_cast<int>(wide_.size());
  }

 private:
  // Adds the elementwise readers of a value that a reduction to `elems` elements leads to.
  void AddReaders(const Value* value, int64_t elems) {
    for (const auto& [reader, index] : value->uses()) {
      if (!IsArithmetic(reader) || !wide_.insert(reader).second) continue;
      const Value* result = reader->output(0);
      if (graph::NumElements(result->shape()) <= elems) AddReaders(result, elems);
    }
  }

  // Returns whether all readers of a value take it in f32.
  bool IsReadWideOnly(const Value* value) const {
    return !value->is_graph_output() && !graph_.IsCaptured(value) && !value->uses().empty() &&
           std::ranges::all_of(value->uses(), [&](const auto& use) {
             return wide_.contains(use.first) || (IsNormOfAnyType(use.first) && use.second == 0);
           });
  }

  // Adds the elementwise nodes that only wide nodes read, the last one first.
  void AddProducers() {
    for (auto it = graph_.nodes().rbegin(); it != graph_.nodes().rend(); ++it) {
      const Node* node = it->get();
      if (!IsArithmetic(node) || !IsReadWideOnly(node->output(0))) continue;
      const bool by_norms_only = std::ranges::none_of(
          node->output(0)->uses(), [&](const auto& use) { return wide_.contains(use.first); });
      if (!by_norms_only || Grows(node)) wide_.insert(node);
    }
  }

  // Returns an f16 operand in f32, for readers from `before` on.
  Value* Wide(Value* value, Node* before) {
    Value*& wide = wide_values_[value];
    if (wide != nullptr) return wide;
    // Small constants are converted here; the elements of large ones may lie in a file.
    constexpr size_t kSmall = 1 << 16;
    if (value->constant && value->constant->bytes.size() <= kSmall) {
      const graph::Tensor& tensor = *value->constant;
      return wide = graph_.AddConstant(
                 value->name(),
                 graph::Tensor::FromDoubles(DType::kF32, tensor.shape, tensor.ToDoubles()));
    }
    wide = graph_.AddValue(value->name(), DType::kF32, value->dims);
    AddCast(value, wide, before);
    return wide;
  }

  void AddCast(Value* from, Value* to, Node* before) {
    graph_.AddNode(from->name(), "", "Cast", {from}, {to}, before)->attributes["to"] =
        static_cast<int64_t>(to->dtype);
  }

  // Makes the node compute in f32. `next` follows it.
  void Widen(Node* node, Node* next) {
    for (size_t i = 0; i < node->inputs().size(); ++i) {
      if (IsHalf(node->input(i))) graph_.SetInput(node, i, Wide(node->input(i), node));
    }
    Value* result = node->output(0);
    if (IsReadWideOnly(result)) {
      result->dtype = DType::kF32;
      return;
    }
    Value* wide = graph_.AddValue(result->name(), DType::kF32, result->dims);
    graph_.SetOutput(node, 0, wide);
    wide_values_[result] = wide;
    AddCast(wide, result, next);
  }

  Graph& graph_;
  std::unordered_set<const Node*> wide_;
  std::unordered_map<const Value*, Value*> wide_values_;  // f16 operands -> in f32
};

}  // namespace

int WidenReductions(Graph& graph, const PassOptions&) { return Widener(graph).Run(); }

}  // namespace sinter::passes

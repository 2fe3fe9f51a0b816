#include "passes/spelled_norm.h"

#include <algorithm>

#include "graph/ops.h"
#include "passes/match.h"

namespace sinter::passes {
namespace {

using graph::Node;
using graph::Value;

// Returns the element of a constant with one element.
std::optional<double> Scalar(const Value* value) {
  if (value == nullptr || !value->constant || value->constant->num_elements() != 1)
    return std::nullopt;
  return value->constant->ToDoubles()[0];
}

// Returns the base of Pow(base, exponent), or null.
Value* BaseOf(const Node* node, double exponent) {
  return Is(node, "", "Pow") && Scalar(node->input(1)) == exponent ? node->input(0) : nullptr;
}

// Returns v if `value` is its square root.
Value* RadicandOf(const Value* value) {
  const Node* node = value->producer();
  if (Is(node, "", "Sqrt")) return node->input(0);
  return node == nullptr ? nullptr : BaseOf(node, 0.5);
}

// Returns v if `value` is 1 / sqrt(v). Appends the nodes that compute it from v.
Value* InverseRootOf(const Value* value, std::vector<Node*>& nodes) {
  Node* node = value->producer();
  if (node == nullptr) return nullptr;
  nodes.push_back(node);
  if (Value* v = BaseOf(node, -0.5)) return v;
  const Value* root = nullptr;
  if (Is(node, "", "Reciprocal")) root = node->input(0);
  if (Is(node, "", "Div") && Scalar(node->input(0)) == 1) root = node->input(1);
  if (root == nullptr) return nullptr;
  Value* v = RadicandOf(root);
  if (v != nullptr) nodes.push_back(root->producer());
  return v;
}

// Returns whether two values are equal: one value, or two Casts of one value to one type.
bool AreEqual(const Value* a, const Value* b) {
  if (a == b) return true;
  return a != nullptr && b != nullptr && Is(a->producer(), "", "Cast") &&
         Is(b->producer(), "", "Cast") && a->dtype == b->dtype &&
         a->producer()->input(0) == b->producer()->input(0);
}

bool IsDeviceFloat(const Value* value) {
  return value->dtype == DType::kF32 || value->dtype == DType::kF16;
}

// Completes a match of t and v, whose product or quotient the last of `nodes` so far computes.
bool MatchMeanSquare(SpelledNorm& norm, const Value* v) {
  Node* add = v->producer();
  if (!Is(add, "", "Add")) return false;
  for (const size_t side : {0, 1}) {
    const std::optional<double> epsilon = Scalar(add->input(1 - side));
    Node* mean = add->input(side)->producer();
    if (!epsilon || !IsMeanOfRows(mean)) continue;
    Node* square = mean->input(0)->producer();
    if (square == nullptr) continue;
    const bool is_square = AreEqual(BaseOf(square, 2), norm.t) ||
                           (Is(square, "", "Mul") && square->input(0) == square->input(1) &&
                            AreEqual(square->input(0), norm.t));
    if (!is_square) continue;
    norm.epsilon = static_cast<float>(*epsilon);
    norm.nodes.insert(norm.nodes.end(), {add, mean, square});
    return true;
  }
  return false;
}

// Adds the scale after the quotient, and a Cast before it, if they are its only readers.
void MatchScale(SpelledNorm& norm) {
  std::vector<Node*> taken;
  const Value* y = norm.y;
  Node* next = graph::OnlyUse(y);
  if (Is(next, "", "Cast") && IsDeviceFloat(next->output(0))) {
    taken.push_back(next);
    y = next->output(0);
    next = graph::OnlyUse(y);
  }
  if (!Is(next, "", "Mul")) return;
  Value* scale = next->input(next->input(0) == y ? 1 : 0);
  if (!IsRowVector(scale, y)) return;
  taken.push_back(next);
  norm.scale = scale;
  norm.y = next->output(0);
  norm.last = next;
  norm.nodes.insert(norm.nodes.begin(), taken.rbegin(), taken.rend());
}

}  // namespace

bool IsMeanOfRows(const Node* node) {
  if (!Is(node, "", "ReduceMean") || node->Int("keepdims", 1) == 0 ||
      !node->input(0)->has_static_shape()) {
    return false;
  }
  std::vector<int64_t> axes = node->Ints("axes", {});
  if (const Value* given = node->input(1)) {
    if (!given->constant) return false;
    axes = given->constant->ToInts();
  }
  const auto rank = static_cast<int64_t>(node->input(0)->shape().size());
  return axes.size() == 1 && rank > 0 && graph::NormalizeAxis(*node, axes[0], rank) == rank - 1;
}

bool IsRowVector(const Value* value, const Value* rows) {
  return value->has_static_shape() && rows->has_static_shape() && !rows->shape().empty() &&
         value->dtype == rows->dtype && value->shape() == graph::Shape{rows->shape().back()};
}

std::optional<SpelledNorm> MatchSpelledNorm(Node* node) {
  const bool div = Is(node, "", "Div");
  if (!div && !Is(node, "", "Mul")) return std::nullopt;
  for (const size_t side : {0, 1}) {
    if (div && side == 1) break;
    SpelledNorm norm;
    norm.t = node->input(side);
    norm.y = node->output(0);
    norm.last = node;
    norm.nodes = {node};
    const Value* other = node->input(1 - side);
    const Value* v = nullptr;
    if (div) {
      v = RadicandOf(other);
      if (v != nullptr) norm.nodes.push_back(other->producer());
    } else {
      v = InverseRootOf(other, norm.nodes);
    }
    if (v == nullptr || !IsDeviceFloat(norm.t) || !MatchMeanSquare(norm, v)) continue;
    MatchScale(norm);
    return norm;
  }
  return std::nullopt;
}

Value* ScaleOf(graph::Graph& graph, const SpelledNorm& norm) {
  if (norm.scale != nullptr) return norm.scale;
  const int64_t cols = norm.y->shape().back();
  const std::vector<double> ones(static_cast<size_t>(cols), 1);
  return graph.AddConstant("ones", graph::Tensor::FromDoubles(norm.y->dtype, {cols}, ones));
}

}  // namespace sinter::passes

#include "passes/match.h"

#include <algorithm>

#include "graph/fused.h"

namespace sinter::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Value;

constexpr std::string_view kMicrosoft = "com.microsoft";

bool IsConstantOrAbsent(const Value* value) { return value == nullptr || value->constant; }

DType TypeOf(const Value* value) { return value == nullptr ? DType::kUndefined : value->dtype; }

}  // namespace

bool Is(const Node* node, std::string_view domain, std::string_view op) {
  return node != nullptr && node->op() == op && node->domain() == domain;
}

bool IsElementwise(const Node* node) {
  constexpr std::string_view kOps[] = {"Cast", "Identity", "Tanh", "Sigmoid", "Neg", "Add",
                                       "Sub",  "Mul",      "Div",  "Gelu",    "Relu"};
  return node->domain().empty() && std::ranges::find(kOps, node->op()) != std::end(kOps);
}

bool IsNorm(const Node* node) {
  if (!Is(node, "", "SimplifiedLayerNormalization") &&
      !Is(node, kMicrosoft, "SimplifiedLayerNormalization") && !Is(node, "", "RMSNormalization")) {
    return false;
  }
  const std::optional<graph::Dims>& scale = node->input(1)->dims;
  return !scale || scale->size() == 1;
}

bool IsRead(const Value* value) {
  return value != nullptr && (!value->uses().empty() || value->is_graph_output());
}

bool IsProduct(const Node* node) {
  if (!Is(node, kMicrosoft, "MatMulNBits")) return false;
  return std::all_of(node->inputs().begin() + 1, node->inputs().end(), IsConstantOrAbsent);
}

Node* ProductReadOnlyBy(const Value* value, const Node* reader) {
  if (value == nullptr || !IsProduct(value->producer()) || graph::OnlyUse(value) != reader)
    return nullptr;
  return value->producer();
}

Part PartOf(const Node& product) {
  return {product.input(1), product.input(2), product.input(3), product.input(5),
          product.Int("N", 0)};
}

bool AreAlike(std::span<Node* const> products) {
  const Node& first = *products[0];
  return std::all_of(products.begin(), products.end(), [&](const Node* node) {
    return node->input(0) == first.input(0) && node->Int("K", 0) == first.Int("K", 0) &&
           node->Int("bits", 4) == first.Int("bits", 4) &&
           node->Int("block_size", 32) == first.Int("block_size", 32) &&
           node->Int("accuracy_level", 0) == first.Int("accuracy_level", 0) &&
           TypeOf(node->input(3)) == TypeOf(first.input(3)) &&
           TypeOf(node->input(5)) == TypeOf(first.input(5));
  });
}

std::optional<Prologue> MatchNorm(const Graph& graph, Value* h, std::span<Node* const> products) {
  if (h->is_graph_output() || graph.IsCaptured(h)) return std::nullopt;
  const bool only_these = std::all_of(h->uses().begin(), h->uses().end(), [&](const auto& use) {
    return std::find(products.begin(), products.end(), use.first) != products.end();
  });
  if (!only_these) return std::nullopt;
  Prologue prologue;
  const Value* normed = h;
  if (Is(h->producer(), "", "Cast")) {
    prologue.cast = h->producer();
    normed = prologue.cast->input(0);
    // The fused product rounds h as the Cast does; this is known for floating-point types only.
    if (!IsFloat(normed->dtype) || !IsFloat(h->dtype) || graph::OnlyUse(normed) != prologue.cast)
      return std::nullopt;
  }
  Node* norm = normed->producer();
  if (norm == nullptr || normed != norm->output(0)) return std::nullopt;
  prologue.norm = norm;
  prologue.input = norm->input(0);
  prologue.epsilon = norm->Float("epsilon", 1e-5f);
  if (IsNorm(norm)) {
    prologue.scale = norm->input(1);
    return prologue;
  }
  if (!Is(norm, kMicrosoft, "SkipSimplifiedLayerNormalization")) return std::nullopt;
  // The fused node does not add a bias to the sum and has no outputs for the norm's statistics.
  if (norm->input(3) != nullptr || IsRead(norm->output(1)) || IsRead(norm->output(2)))
    return std::nullopt;
  prologue.skip = norm->input(1);
  prologue.scale = norm->input(2);
  if (IsRead(norm->output(3))) prologue.sum = norm->output(3);
  return prologue;
}

Node* FuseProducts(Graph& graph, std::string_view op, const Prologue& prologue,
                   std::span<Node* const> products, const std::vector<Part>& parts, Value* y) {
  graph.opsets.emplace(graph::kFusedDomain, graph::kFusedVersion);
  const Node& product = *products[0];
  std::vector<Value*> inputs = {prologue.input, prologue.skip, nullptr, prologue.scale};
  std::vector<int64_t> rows;
  for (const Part& part : parts) {
    inputs.insert(inputs.end(), {part.b, part.scales, part.zero_points, part.bias});
    rows.push_back(part.n);
  }
  while (inputs.back() == nullptr) inputs.pop_back();
  std::vector<Value*> outputs = {y};
  if (Node* maker = y->producer()) graph.SetOutput(maker, 0, nullptr);
  if (prologue.sum != nullptr) {
    graph.SetOutput(prologue.norm, 3, nullptr);
    outputs.push_back(prologue.sum);
  }
  // Inserts the node where the norm is, or the first product if there is no norm: its operands are
  // computed before this place, and the readers of its outputs come after it.
  Node* before = prologue.norm != nullptr ? prologue.norm : products[0];
  Node* fused = graph.AddNode(product.name(), graph::kFusedDomain, op, std::move(inputs),
                              std::move(outputs), before);
  for (const std::string_view name : {"K", "bits", "block_size", "accuracy_level"}) {
    if (const graph::Attribute* attribute = product.Find(name))
      fused->attributes[std::string(name)] = *attribute;
  }
  fused->attributes["N"] = std::move(rows);
  if (prologue.scale != nullptr) fused->attributes["epsilon"] = prologue.epsilon;
  RemoveUnread(graph, products);
  RemoveUnread(graph, std::vector{prologue.cast, prologue.norm});
  return fused;
}

void RemoveUnread(Graph& graph, std::span<Node* const> nodes) {
  for (Node* node : nodes) {
    if (node == nullptr) continue;
    const auto& outputs = node->outputs();
    if (std::none_of(outputs.begin(), outputs.end(), IsRead)) graph.RemoveNode(node);
  }
}

}  // namespace sinter::passes

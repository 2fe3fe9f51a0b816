// What rewrites, those of fusion level `layer` above all, match alike: quantized products, the norm
// before them, and the fused node that takes their place (graph/fused.h). Internal to src/passes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace sinter::passes {

// False for null.
bool Is(const graph::Node* node, std::string_view domain, std::string_view op);
// Whether somebody reads an output.
bool IsRead(const graph::Value* value);

// SimplifiedLayerNormalization, in whichever domain, or RMSNormalization.
bool IsNorm(const graph::Node* node);

// A MatMulNBits whose weight, scales, zero points and bias (where it has them) are constants, so
// that they can be joined with others when they go to the GPU.
bool IsProduct(const graph::Node* node);
// The product that makes `value`, where `reader` alone reads it; null otherwise.
graph::Node* ProductReadOnlyBy(const graph::Value* value, const graph::Node* reader);

// A part of a fused node.
struct Part {
  graph::Value* b = nullptr;
  graph::Value* scales = nullptr;
  graph::Value* zero_points = nullptr;
  graph::Value* bias = nullptr;
  int64_t n = 0;
};
Part PartOf(const graph::Node& product);

// Whether the products multiply the same rows with weights that fit into one matrix: quantized
// alike, and all or none with zero points of one kind, resp. a bias.
bool AreAlike(std::span<graph::Node* const> products);

// What comes before the products: x = input [+ skip], h = norm(x), as a fused node takes it.
struct Prologue {
  graph::Value* input = nullptr;
  graph::Value* skip = nullptr;
  graph::Value* scale = nullptr;  // null: h = x
  float epsilon = 0;
  // What the fused node takes over: the norm's sum where it is read, the norm itself, and a Cast
  // behind it.
  graph::Value* sum = nullptr;
  graph::Node* norm = nullptr;
  graph::Node* cast = nullptr;
};
// The norm that makes `h`, with or without a skip, and a Cast of its result; none where anyone but
// `products` reads h.
std::optional<Prologue> MatchNorm(const graph::Graph& graph, graph::Value* h,
                                  std::span<graph::Node* const> products);

// Adds the node `op` with the attributes that the products share. Its output `y` may still have a
// product that makes it. Removes the products and what else nobody reads any more.
graph::Node* FuseProducts(graph::Graph& graph, std::string_view op, const Prologue& prologue,
                          std::span<graph::Node* const> products, const std::vector<Part>& parts,
                          graph::Value* y);

// Removes each node of which no output is read.
void RemoveUnread(graph::Graph& graph, std::span<graph::Node* const> nodes);

}  // namespace sinter::passes

// Provides matchers and helpers that several rewrites share, mostly those of fusion level `layer`:
// quantized products, the norm before them, and the fused node that replaces them (graph/fused.h).
// Internal to src/passes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace sinter::passes {

// Returns whether `node` is of this domain and operator; false for null.
bool Is(const graph::Node* node, std::string_view domain, std::string_view op);
// Returns whether a node or a graph output reads `value`; false for null.
bool IsRead(const graph::Value* value);

// Returns whether `node` is of ONNX's own domain and computes each element of its output from the
// elements at the same place of its inputs, which it broadcasts.
bool IsElementwise(const graph::Node* node);

// Returns whether `node` is SimplifiedLayerNormalization, of either domain, or RMSNormalization,
// and normalizes the last dimension only.
bool IsNorm(const graph::Node* node);

// Returns whether `node` is a MatMulNBits whose weight, scales, zero points and bias (the last two
// are optional) are constants. Such weights can be joined with others when they are uploaded to the
// GPU.
bool IsProduct(const graph::Node* node);
// Returns the product (IsProduct) that produces `value` if only `reader` reads the value; otherwise
// null.
graph::Node* ProductReadOnlyBy(const graph::Value* value, const graph::Node* reader);

// Quantized weight of one product, as one part of a fused node. zero_points and bias are null if
// absent; n is the number of weight rows.
struct Part {
  graph::Value* b = nullptr;
  graph::Value* scales = nullptr;
  graph::Value* zero_points = nullptr;
  graph::Value* bias = nullptr;
  int64_t n = 0;
};
Part PartOf(const graph::Node& product);

// Returns whether the products multiply the same rows with weights that can be joined into one
// matrix: same quantization, and either all or none have zero points of one type, and likewise a
// bias.
bool AreAlike(std::span<graph::Node* const> products);

// Computation before the products as a fused node takes it: x = input [+ skip], h = norm(x).
struct Prologue {
  graph::Value* input = nullptr;
  graph::Value* skip = nullptr;
  graph::Value* scale = nullptr;  // null if there is no norm: h = x
  float epsilon = 0;
  // Parts that the fused node replaces: the norm's sum if it is read, the norm itself, and a Cast
  // after it.
  graph::Value* sum = nullptr;
  graph::Node* norm = nullptr;
  graph::Node* cast = nullptr;
};
// Returns the norm that produces `h`, with or without a skip, and with or without a Cast after it.
// Returns nothing if any node other than `products` reads h, or if there is no such norm.
std::optional<Prologue> MatchNorm(const graph::Graph& graph, graph::Value* h,
                                  std::span<graph::Node* const> products);

// Adds a node `op` of domain `sinter` with the attributes that the products share, and returns it.
// `y`, its output, may still be the output of one of the products. Removes the products and the
// nodes of the prologue whose outputs nothing reads any more.
graph::Node* FuseProducts(graph::Graph& graph, std::string_view op, const Prologue& prologue,
                          std::span<graph::Node* const> products, const std::vector<Part>& parts,
                          graph::Value* y);

// Removes each node of which no output is read. Skips null.
void RemoveUnread(graph::Graph& graph, std::span<graph::Node* const> nodes);

}  // namespace sinter::passes

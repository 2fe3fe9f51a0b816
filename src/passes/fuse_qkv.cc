// %h, %sum = (Skip)SimplifiedLayerNormalization(%x, %skip)   ->  %qkv, %sum = MatMulNBitsQkv(
// %q = MatMulNBits(%h, ...), %k = ..., %v = ...                      %x, %skip, norm, weights)
// GroupQueryAttention(%q, %k, %v, ...)                           GroupQueryAttention(%qkv, _, _,
//                                                                    ...)
//
// The rewrite also takes one packed product, and a Cast after the norm. If other nodes read the
// norm too, the norm stays and only the products are fused.
//
// Gain: 6 dispatches per layer if queries, keys and values are separate products (Qwen3 of two
// layers: 12 dispatches per token, 24 without). One if they are packed, which fuse_head_norm would
// save as well. A dispatch costs 3.65 us on an H200.
#include "passes/fuse_qkv.h"

#include "graph/gqa_inputs.h"
#include "passes/match.h"

namespace sinter::passes {
namespace {

using graph::Node;
using graph::Value;

using enum graph::GqaInput;

// Returns the products that produce query, key and value, or the one packed product. Returns an
// empty vector if another node stands between a product and attention, or reads a product.
std::vector<Node*> ProductsOf(const Node& attention) {
  std::vector<Node*> products;
  for (const size_t i : {kQuery, kKey, kValue}) {
    if (i != kQuery && attention.input(kKey) == nullptr) break;
    products.push_back(ProductReadOnlyBy(attention.input(i), &attention));
    if (products.back() == nullptr) return {};
  }
  return products;
}

}  // namespace

int FuseQkv(graph::Graph& graph, const PassOptions&) {
  int fused = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    Node* attention = (it++)->get();
    if (!Is(attention, "com.microsoft", "GroupQueryAttention")) continue;
    const std::vector<Node*> products = ProductsOf(*attention);
    // Weights with different quantization cannot be joined into one matrix.
    if (products.empty() || !AreAlike(products)) continue;
    Value* h = products[0]->input(0);
    const std::optional<Prologue> norm = MatchNorm(graph, h, products);
    // A single product gains nothing without its norm.
    if (!norm && products.size() == 1) continue;
    std::vector<Part> parts;
    parts.reserve(products.size());
    for (const Node* product : products) parts.push_back(PartOf(*product));
    Value* y = products[0]->output(0);
    if (products.size() > 1) {
      graph::Shape shape = y->shape();
      shape.back() = 0;
      for (const Part& part : parts) shape.back() += part.n;
      y = graph.AddValue(attention->name() + "/qkv", y->dtype);
      y->set_shape(shape);
      graph.SetInput(attention, kQuery, y);
      graph.SetInput(attention, kKey, nullptr);
      graph.SetInput(attention, kValue, nullptr);
    }
    FuseProducts(graph, "MatMulNBitsQkv", norm.value_or(Prologue{.input = h}), products, parts, y);
    ++fused;
  }
  return fused;
}

}  // namespace sinter::passes

// %h = SimplifiedLayerNormalization(%x, %scale)     ->  %y = NormQMoE(%x, %scale, router, experts)
// %logits = MatMulNBits(%h, router)
// %y = QMoE(%h, Reshape(%logits), experts)
//
// The router is small: one workgroup per token computes h, the logits, and the chosen experts with
// their weights. This replaces three dispatches (norm, product, choice); the Reshape is not a
// dispatch.
//
// Gain: 2 dispatches per layer (gpt-oss of two layers: 14 per token, 18 without). A dispatch costs
// 3.65 us on an H200.
#include "passes/fuse_moe.h"

#include "graph/fused.h"
#include "passes/match.h"

namespace sinter::passes {
namespace {

using graph::Node;
using graph::Value;

// Indices of QMoE's inputs.
enum : size_t { kInput, kRouter, kFc1, kFc1Scales, kFc1Bias, kFc2, kFc2Scales, kFc2Bias };
constexpr size_t kFc1ZeroPoints = 11, kFc2ZeroPoints = 12;

bool FuseMoeAt(graph::Graph& graph, Node* moe) {
  Value* h = moe->input(kInput);
  Value* probabilities = moe->input(kRouter);
  Node* reshape = probabilities->producer();
  // QMoE takes router logits of two dimensions, [tokens, experts], so a Reshape stands after the
  // product.
  if (!Is(reshape, "", "Reshape") || graph::OnlyUse(probabilities) != moe) return false;
  Node* product = ProductReadOnlyBy(reshape->input(0), reshape);
  if (product == nullptr || product->input(0) != h) return false;
  const Part router = PartOf(*product);
  // The kernel reads zero points only as packed codes (u8), the form in a file.
  if (router.zero_points != nullptr && router.zero_points->dtype != DType::kU8) return false;
  const std::optional<Prologue> norm = MatchNorm(graph, h, std::vector{product, moe});
  // A Cast would give h another type than x, and NormQMoE has no output for the sum with a skip.
  if (!norm || norm->cast != nullptr || norm->skip != nullptr) return false;
  // NormQMoE requires one type for all inputs other than quantized codes.
  if (norm->scale->dtype != h->dtype || norm->input->dtype != h->dtype) return false;

  graph.opsets.emplace(graph::kFusedDomain, graph::kFusedVersion);
  std::vector<Value*> inputs(graph::kMoeFc2ZeroPoints + 1);
  inputs[graph::kMoeInput] = norm->input;
  inputs[graph::kMoeNormScale] = norm->scale;
  inputs[graph::kMoeRouter] = router.b;
  inputs[graph::kMoeRouterScales] = router.scales;
  inputs[graph::kMoeRouterZeroPoints] = router.zero_points;
  inputs[graph::kMoeRouterBias] = router.bias;
  inputs[graph::kMoeFc1] = moe->input(kFc1);
  inputs[graph::kMoeFc1Scales] = moe->input(kFc1Scales);
  inputs[graph::kMoeFc1Bias] = moe->input(kFc1Bias);
  inputs[graph::kMoeFc2] = moe->input(kFc2);
  inputs[graph::kMoeFc2Scales] = moe->input(kFc2Scales);
  inputs[graph::kMoeFc2Bias] = moe->input(kFc2Bias);
  inputs[graph::kMoeFc1ZeroPoints] = moe->input(kFc1ZeroPoints);
  inputs[graph::kMoeFc2ZeroPoints] = moe->input(kFc2ZeroPoints);
  while (inputs.back() == nullptr) inputs.pop_back();
  Value* y = moe->output(0);
  graph.SetOutput(moe, 0, nullptr);
  Node* fused =
      graph.AddNode(moe->name(), graph::kFusedDomain, "NormQMoE", std::move(inputs), {y}, moe);
  fused->attributes = moe->attributes;
  fused->attributes["epsilon"] = norm->epsilon;
  fused->attributes["router_bits"] = product->Int("bits", 4);
  fused->attributes["router_block_size"] = product->Int("block_size", 32);
  RemoveUnread(graph, std::vector{moe, reshape, product, norm->norm});
  return true;
}

}  // namespace

int FuseMoe(graph::Graph& graph, const PassOptions&) {
  int fused = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    Node* node = (it++)->get();
    if (Is(node, "com.microsoft", "QMoE")) fused += FuseMoeAt(graph, node);
  }
  return fused;
}

}  // namespace sinter::passes

// %s = SimplifiedLayerNormalization(Cast(%p), %scale)   ->  MatMulNBitsMlp(%x, %p, %scale, ...)
// MatMulNBitsMlp(%x, %s, _, ...)
//
// The rewrite also matches without the Cast, and applies to all fused nodes that take a skip. Gemma
// normalizes the results of attention and MLP before it adds them to the residual. The sum keeps
// the residual's type.
//
// Gain: 4 dispatches per layer (Gemma 3 1B: 134 per token, 238 without). A dispatch costs 3.65 us
// on an H200.
#include "passes/fuse_post_norm.h"

#include "graph/fused.h"
#include "passes/match.h"

namespace sinter::passes {

int FusePostNorm(graph::Graph& graph, const PassOptions&) {
  int fused = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    graph::Node* node = (it++)->get();
    if (!graph::IsFusedProduct(*node) || !graph::ReadFused(*node).has_prologue) continue;
    // A skip can have only one norm.
    if (node->input(graph::kFusedSkip) == nullptr || node->input(graph::kFusedSkipScale) != nullptr)
      continue;
    for (const size_t side : {graph::kFusedSkip, graph::kFusedInput}) {
      graph::Value* normed = node->input(side);
      graph::Node* norm = normed->producer();
      // If another node reads the normalized value, it must be in memory.
      if (!IsNorm(norm) || graph::OnlyUse(normed) != node) continue;
      graph::Value* skip = norm->input(0);
      graph::Node* cast = skip->producer();
      // The norm computes in f32 for any input type, so the Cast is not needed. It stays if another
      // node reads it.
      if (Is(cast, "", "Cast") && IsFloat(cast->input(0)->dtype) && graph::OnlyUse(skip) == norm) {
        skip = cast->input(0);
      } else {
        cast = nullptr;
      }
      graph.SetInput(node, graph::kFusedInput,
                     node->input(graph::kFusedSkip + graph::kFusedInput - side));
      graph.SetInput(node, graph::kFusedSkip, skip);
      graph.SetInput(node, graph::kFusedSkipScale, norm->input(1));
      node->attributes["skip_epsilon"] = norm->Float("epsilon", 1e-5f);
      RemoveUnread(graph, std::vector{norm, cast});
      ++fused;
      break;
    }
  }
  return fused;
}

}  // namespace sinter::passes

// %s = Pow(%x, 2)           ->  %y = SimplifiedLayerNormalization(%x, %scale) {epsilon}
// %m = ReduceMean(%s, -1)
// %r = Sqrt(Add(%m, epsilon))
// %y = Mul(Div(%x, %r), %scale)
//
// and the other forms of spelled_norm.h. fuse_layer_norm runs first, because t = x - mean(x) makes
// it a layer norm.
//
// In f16 the squares overflow from |x| = 256 on and the norm of the row becomes 0; the kernel
// computes in f32. Gain: five or six dispatches a norm (a dispatch that waits for the previous one
// costs 3.65 us on an H200), and the fusions that know the norm.
#include "passes/fuse_rms_norm.h"

#include <algorithm>

#include "passes/match.h"
#include "passes/spelled_norm.h"

namespace sinter::passes {

int FuseRmsNorm(graph::Graph& graph, const PassOptions&) {
  int fused = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    const std::optional<SpelledNorm> norm = MatchSpelledNorm((it++)->get());
    if (!norm) continue;
    // The iterator may point to a node that is about to go.
    while (it != graph.nodes().end() &&
           std::ranges::find(norm->nodes, it->get()) != norm->nodes.end()) {
      ++it;
    }
    graph::Value* scale = ScaleOf(graph, *norm);
    graph.SetOutput(norm->last, 0, nullptr);
    graph::Node* node = graph.AddNode(norm->last->name(), "", "SimplifiedLayerNormalization",
                                      {norm->t, scale}, {norm->y}, norm->last);
    node->attributes["axis"] = int64_t{-1};
    node->attributes["epsilon"] = norm->epsilon;
    RemoveUnread(graph, norm->nodes);
    ++fused;
  }
  return fused;
}

}  // namespace sinter::passes

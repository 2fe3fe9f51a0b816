// %d = Sub(%x, ReduceMean(%x, -1))  ->  %y = LayerNormalization(%x, %scale, %bias) {epsilon}
// %v = ReduceMean(Pow(%d, 2), -1)
// %r = Sqrt(Add(%v, epsilon))
// %y = Add(Mul(Div(%d, %r), %scale), %bias)
//
// and the other forms of spelled_norm.h, with t = %d. Scale and bias may be missing.
//
// In f16 the squares overflow from |d| = 256 on and the norm of the row becomes 0; the kernel
// computes in f32. Gain: seven or eight dispatches a norm (a dispatch that waits for the previous
// one costs 3.65 us on an H200).
#include "passes/fuse_layer_norm.h"

#include <algorithm>

#include "passes/match.h"
#include "passes/spelled_norm.h"

namespace sinter::passes {

int FuseLayerNorm(graph::Graph& graph, const PassOptions&) {
  int fused = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    std::optional<SpelledNorm> norm = MatchSpelledNorm((it++)->get());
    if (!norm) continue;
    graph::Node* sub = norm->t->producer();
    if (!Is(sub, "", "Sub")) continue;
    graph::Value* x = sub->input(0);
    graph::Node* mean = sub->input(1)->producer();
    if (!IsMeanOfRows(mean) || mean->input(0) != x) continue;
    norm->nodes.insert(norm->nodes.end(), {sub, mean});
    graph::Value* bias = nullptr;
    graph::Node* add = graph::OnlyUse(norm->y);
    if (Is(add, "", "Add")) {
      graph::Value* other = add->input(add->input(0) == norm->y ? 1 : 0);
      if (IsRowVector(other, norm->y)) {
        bias = other;
        norm->y = add->output(0);
        norm->last = add;
        norm->nodes.insert(norm->nodes.begin(), add);
      }
    }
    while (it != graph.nodes().end() &&
           std::ranges::find(norm->nodes, it->get()) != norm->nodes.end()) {
      ++it;
    }
    std::vector<graph::Value*> inputs = {x, ScaleOf(graph, *norm)};
    if (bias != nullptr) inputs.push_back(bias);
    graph.SetOutput(norm->last, 0, nullptr);
    graph::Node* node = graph.AddNode(norm->last->name(), "", "LayerNormalization",
                                      std::move(inputs), {norm->y}, norm->last);
    node->attributes["axis"] = int64_t{-1};
    node->attributes["epsilon"] = norm->epsilon;
    RemoveUnread(graph, norm->nodes);
    ++fused;
  }
  return fused;
}

}  // namespace sinter::passes

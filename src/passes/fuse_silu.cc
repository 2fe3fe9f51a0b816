// %s = Sigmoid(%x)      ->  %y = QuickGelu(%x) {alpha = 1}
// %y = Mul(%x, %s)
//
// This saves one dispatch and gives SiLU the one form that fuse_mlp knows.
//
// Gain: one dispatch per layer by itself, 5 together with fuse_mlp, which needs this form
// (Qwen3-1.7B: 142 dispatches per token, 282 without). A dispatch that waits for the previous one
// costs 3.65 us on an H200.
#include "passes/fuse_silu.h"

#include "passes/match.h"

namespace sinter::passes {

int FuseSilu(graph::Graph& graph, const PassOptions&) {
  int fused = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    graph::Node* mul = (it++)->get();
    if (!Is(mul, "", "Mul")) continue;
    for (const size_t side : {0, 1}) {
      graph::Node* sigmoid = mul->input(side)->producer();
      // A Sigmoid with another reader must stay, so nothing would be saved.
      if (!Is(sigmoid, "", "Sigmoid") || graph::OnlyUse(mul->input(side)) != mul) continue;
      if (sigmoid->input(0) != mul->input(1 - side)) continue;
      graph::Value* y = mul->output(0);
      graph.SetOutput(mul, 0, nullptr);
      graph.opsets.emplace("com.microsoft", 1);
      graph::Node* silu =
          graph.AddNode(mul->name(), "com.microsoft", "QuickGelu", {sigmoid->input(0)}, {y}, mul);
      silu->attributes["alpha"] = 1.0f;
      RemoveUnread(graph, std::vector{mul, sigmoid});
      ++fused;
      break;
    }
  }
  return fused;
}

}  // namespace sinter::passes

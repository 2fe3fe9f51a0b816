// %logits = NormMatMulNBits(...)   ->   %logits = NormMatMulNBits(...) {argmax = 1}
//
// for the logits of one row: greedy generation then neither writes them nor reads them again, and
// saves the dispatch that does. Predicted for an H200: 4 us of a token's 934 (Qwen3-1.7B).
#include "passes/fuse_argmax.h"

#include "graph/fused.h"
#include "passes/match.h"

namespace sinter::passes {

int FuseArgmax(graph::Graph& graph, const PassOptions& options) {
  const graph::Value* logits = graph.FindValue(options.logits);
  if (logits == nullptr || !logits->is_graph_output()) return 0;
  graph::Node* head = logits->producer();
  if (!Is(head, graph::kFusedDomain, "NormMatMulNBits") || head->Int("argmax", 0) != 0) return 0;
  // Another node needs them in memory.
  if (!logits->uses().empty()) return 0;
  // Of several rows each would have its own token.
  const graph::Shape& shape = logits->shape();
  if (graph::NumElements(shape) != shape.back()) return 0;
  head->attributes["argmax"] = int64_t{1};
  return 1;
}

}  // namespace sinter::passes

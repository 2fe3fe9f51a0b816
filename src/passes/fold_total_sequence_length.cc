// GroupQueryAttention(..., %past [batch, heads, N, size], ..., %total, ...)
//   ->  GroupQueryAttention(..., %past, ..., N, ...)
//
// Attention derives only the number of rows of `present` from the total length: the larger of the
// past's rows and the total. In a program the past has all rows that will ever be needed, and
// attention's input seqlens_k says how many are valid. Models built for graph capture compute the
// total on the GPU, which is one dispatch per step that nothing needs.
#include "passes/fold_total_sequence_length.h"

#include "graph/gqa_inputs.h"
#include "graph/tensor.h"

namespace sinter::passes {

using enum graph::GqaInput;

int FoldTotalSequenceLength(graph::Graph& graph, const PassOptions&) {
  int folded = 0;
  for (const auto& node : graph.nodes()) {
    if (node->domain() != "com.microsoft" || node->op() != "GroupQueryAttention") continue;
    // Without a past, the total determines the rows of `present`.
    const graph::Value* past = node->input(kPastKey);
    const graph::Value* total = node->input(kTotalSequenceLength);
    if (past == nullptr || !past->has_static_shape() || total->constant) continue;
    const int64_t rows = past->shape()[2];
    // A past without room for the run's own rows is not the cache of a program: `present` is then
    // longer than it.
    const graph::Value* query = node->input(kQuery);
    if (!query->has_static_shape() || rows < query->shape()[1]) continue;
    graph.SetInput(node.get(), kTotalSequenceLength,
                   graph.AddConstant("sinter.cache_rows",
                                     graph::Tensor::FromInts(total->dtype, total->shape(),
                                                             std::vector<int64_t>{rows})));
    ++folded;
  }
  if (folded > 0) graph.RemoveDead();
  return folded;
}

}  // namespace sinter::passes

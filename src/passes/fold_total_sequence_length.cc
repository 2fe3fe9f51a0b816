// GroupQueryAttention(..., %past [batch, heads, N, size], ..., %total, ...)
//   ->  GroupQueryAttention(..., %past, ..., N, ...)
//
// Of the total length attention makes only the rows of `present`: the past's or so many, whichever
// is more. A program's past has all rows that there will be, and its other input tells how many are
// valid. Models in the form for graph capture compute the total on the GPU: one dispatch a step
// that nobody needs.
#include "passes/fold_total_sequence_length.h"

#include "graph/gqa_inputs.h"
#include "graph/tensor.h"

namespace sinter::passes {

using enum graph::GqaInput;

int FoldTotalSequenceLength(graph::Graph& graph, const PassOptions&) {
  int folded = 0;
  for (const auto& node : graph.nodes()) {
    if (node->domain() != "com.microsoft" || node->op() != "GroupQueryAttention") continue;
    // Without a past the total is what `present` has.
    const graph::Value* past = node->input(kPastKey);
    const graph::Value* total = node->input(kTotalSequenceLength);
    if (past == nullptr || !past->has_static_shape() || total->constant) continue;
    const int64_t rows = past->shape()[2];
    // A past without room for the run's own rows is no cache of a program: `present` is longer.
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

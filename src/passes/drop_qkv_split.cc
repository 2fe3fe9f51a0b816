// %q, %k, %v = Split(%packed)                     ->  GroupQueryAttention(%packed, _, _, ...)
// GroupQueryAttention(%q, %k, %v, ...)
//
// Attention can read the packed form directly, which saves the dispatch that copies all three
// parts.
//
// Gain: one dispatch per layer by itself, 6 together with fuse_qk_norm (Qwen3-1.7B: 142 dispatches
// per token, 310 without). A dispatch costs 3.65 us on an H200.
#include "passes/drop_qkv_split.h"

#include "graph/gqa_inputs.h"
#include "passes/match.h"

namespace sinter::passes {
namespace {

using enum graph::GqaInput;

// Returns the Split along the last axis whose three outputs are the node's query, key and value, in
// this order. Returns null if there is none.
graph::Node* SplitOf(const graph::Node& attention) {
  graph::Node* split = attention.input(kQuery)->producer();
  if (!Is(split, "", "Split") || split->outputs().size() != 3) return nullptr;
  const auto rank = static_cast<int64_t>(split->input(0)->shape().size());
  const int64_t axis = split->Int("axis", 0);
  if (axis != -1 && axis != rank - 1) return nullptr;
  for (const size_t i : {kQuery, kKey, kValue}) {
    // A part that another node reads must remain a value of its own.
    if (attention.input(i) == nullptr || attention.input(i) != split->output(i) ||
        graph::OnlyUse(attention.input(i)) != &attention)
      return nullptr;
  }
  return split;
}

}  // namespace

int DropQkvSplit(graph::Graph& graph, const PassOptions&) {
  int dropped = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    graph::Node* attention = (it++)->get();
    if (!Is(attention, "com.microsoft", "GroupQueryAttention")) continue;
    graph::Node* split = SplitOf(*attention);
    if (split == nullptr) continue;
    graph.SetInput(attention, kKey, nullptr);
    graph.SetInput(attention, kValue, nullptr);
    graph.SetInput(attention, kQuery, split->input(0));
    graph.RemoveNode(split);
    ++dropped;
  }
  if (dropped > 0) graph.RemoveDead();
  return dropped;
}

}  // namespace sinter::passes

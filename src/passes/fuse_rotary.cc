// %q = RotaryEmbedding(%a, %positions, %cos, %sin)   ->  GroupQueryAttention(%a, %b, %v, ...,
// %k = RotaryEmbedding(%b, %positions, %cos, %sin)           %cos, %sin, %positions)
// GroupQueryAttention(%q, %k, %v, ...)                       {do_rotary = 1}
//
// Attention rotates query and key while it moves them, which saves two dispatches.
//
// Gain: 2 dispatches per layer if the rotations are separate nodes. A dispatch costs 3.65 us on an
// H200.
#include "passes/fuse_rotary.h"

#include <optional>

#include "graph/gqa_inputs.h"
#include "passes/match.h"

namespace sinter::passes {
namespace {

using graph::Node;
using graph::Value;

using enum graph::GqaInput;

struct Rotary {
  Node* node;
  Value *x, *positions, *cos, *sin;
};

// Returns the rotation that produces `value`, if only `attention` reads the value and attention can
// rotate the same way.
std::optional<Rotary> MatchRotary(const Value* value, const Node* attention, int64_t heads) {
  Node* node = value->producer();
  const bool microsoft = Is(node, "com.microsoft", "RotaryEmbedding");
  if (!microsoft && !Is(node, "", "RotaryEmbedding")) return std::nullopt;
  // A rotated value with another reader must be computed anyway.
  if (graph::OnlyUse(value) != attention) return std::nullopt;
  const Rotary rotary =
      microsoft ? Rotary{node, node->input(0), node->input(1), node->input(2), node->input(3)}
                : Rotary{node, node->input(0), node->input(3), node->input(1), node->input(2)};
  // Attention takes one position per token and caches with one row per position. It does not
  // support a single position from which all others are counted.
  if (rotary.positions == nullptr || rotary.positions->shape().size() != 2 ||
      rotary.cos->shape().size() != 2)
    return std::nullopt;
  // Heads must be as wide as attention's. Without num_heads, a head is as wide as the rotation.
  const int64_t width = value->shape().back();
  const int64_t node_heads = node->Int("num_heads", 0);
  const int64_t head_size = node_heads > 0 ? width / node_heads : 2 * rotary.cos->shape()[1];
  if (value->shape().size() != 3 || head_size * heads != width) return std::nullopt;
  return rotary;
}

}  // namespace

int FuseRotary(graph::Graph& graph, const PassOptions&) {
  int fused = 0;
  for (const auto& owned : graph.nodes()) {
    Node* attention = owned.get();
    if (!Is(attention, "com.microsoft", "GroupQueryAttention")) continue;
    // Skips attention that already rotates, which would rotate twice. Skips the packed form, which
    // has no separate query.
    if (attention->Int("do_rotary", 0) != 0 || attention->input(kKey) == nullptr) continue;
    // Attention normalizes before it rotates, so the rotation cannot come before its norms.
    if (attention->input(kQNormWeight) != nullptr) continue;
    const auto query =
        MatchRotary(attention->input(kQuery), attention, attention->Int("num_heads", 0));
    const auto key =
        MatchRotary(attention->input(kKey), attention, attention->Int("kv_num_heads", 0));
    if (!query || !key) continue;
    // Attention has one pair of tables and one set of positions for query and key.
    const int64_t interleaved = query->node->Int("interleaved", 0);
    if (query->positions != key->positions || query->cos != key->cos || query->sin != key->sin ||
        key->node->Int("interleaved", 0) != interleaved)
      continue;
    graph.SetInput(attention, kQuery, query->x);
    graph.SetInput(attention, kKey, key->x);
    graph.SetInput(attention, kCosCache, query->cos);
    graph.SetInput(attention, kSinCache, query->sin);
    graph.SetInput(attention, kPositionIds, query->positions);
    attention->attributes["do_rotary"] = int64_t{1};
    attention->attributes["rotary_interleaved"] = interleaved;
    ++fused;
  }
  if (fused > 0) graph.RemoveDead();
  return fused;
}

}  // namespace sinter::passes

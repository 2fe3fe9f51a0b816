// Attributes and input shapes of ONNX's Attention (opsets 23 and 24) and com.microsoft's
// MultiHeadAttention, read into one common form. Both operators compute, for each sequence b of the
// batch, query head n and row s, with kv head h = n / (heads / kv_heads):
//
//   keys, values = past concatenated with new: [batch, kv_heads, total, head_size]
//   Y = softmax(softcap(scale * q . k) + mask) v
//
// Row s sees key t if all of these hold; Y is zero in a row that sees no key:
// - t < total, or t < length of sequence b if lengths are given.
// - The mask allows it.
// - In causal attention, t <= s + past. If Attention is given lengths and no past, past is the
//   length of sequence b minus `sequence`.
//
// In ONNX Runtime's MultiHeadAttention the last row sees all keys, even if there are more new keys
// than rows. One row is therefore not causal, and several rows with more new keys are refused.
//
// Sources: onnx/docs/Operators.md, with the erratum of pull request 8068 on causality by lengths
// and on rows without keys; ONNX Runtime 1.30's docs/ContribOperators.md.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace sinter::graph {

// Input indices. Absent if the operator does not have the input or the node omits it.
struct AttentionPlaces {
  std::optional<size_t> mask, past_key, past_value, lengths;
  // Concatenated projection biases of queries, keys and values: [3 * heads * head_size].
  std::optional<size_t> projection_bias;
};

struct AttentionForm {
  AttentionPlaces places;
  int64_t batch = 0, sequence = 0, heads = 0, kv_heads = 0, head_size = 0;
  int64_t past = 0, new_keys = 0;
  // `by_head`: queries and output have the layout [batch, heads, rows, head_size] instead of
  // [batch, rows, heads * head_size]. `kv_by_head`: the same for keys and values.
  bool by_head = false, kv_by_head = false;
  bool causal = false;
  // Whether the last row of a sequence belongs to its last key, by lengths.
  bool ends_by_lengths = false;
  float scale = 0;  // 0 stands for 1 / sqrt(head_size).
  float softcap = 0;
  // Shape of the mask: [batch or 1, heads or 1, sequence or 1, at most total]. Keys beyond its last
  // dimension are masked. Empty if there is no mask.
  Shape mask;

  int64_t total() const { return past + new_keys; }
  Shape output() const {
    return by_head ? Shape{batch, heads, sequence, head_size}
                   : Shape{batch, sequence, heads * head_size};
  }
  Shape present() const { return {batch, kv_heads, total(), head_size}; }
};

// Returns whether the node is one of the two operators.
bool IsAttention(const Node& node);

// Reads the attributes and shapes of such a node. `shapes` are those of its inputs in order,
// nullopt for an absent input. Throws Error that names the node if the shapes do not fit together
// or are not implemented.
AttentionForm ReadAttention(const Node& node, const std::vector<std::optional<Shape>>& shapes);

}  // namespace sinter::graph

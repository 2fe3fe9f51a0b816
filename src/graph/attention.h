// ONNX's Attention (opsets 23 and 24) and com.microsoft's MultiHeadAttention, read: what their
// attributes and the shapes of their inputs say, in one form. For each sequence b, head n, row s,
// with h = n / (heads / kv_heads):
//
//   keys, values = past and new ones, one behind the other: [batch, kv_heads, total, head_size]
//   row s sees key t where t < total (resp. the sequence's own length), the mask lets it be, and,
//   if
//     causal, t <= s + past; past is the length less `sequence` where there are lengths and no past
//   Y = softmax(softcap(scale * q . k) + mask) v; zeros where a row sees no key
//
// Sources: onnx/docs/Operators.md, with the erratum of pull request 8068 on causality by lengths
// and rows without keys; ONNX Runtime 1.30's docs/ContribOperators.md.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace sinter::graph {

// Places of inputs; nothing where the operator has none, or the node leaves it out.
struct AttentionPlaces {
  std::optional<size_t> mask, past_key, past_value, lengths;
  // Joined biases of queries, keys and values.
  std::optional<size_t> projection_bias;
};

struct AttentionForm {
  AttentionPlaces places;
  int64_t batch = 0, sequence = 0, heads = 0, kv_heads = 0, head_size = 0;
  int64_t past = 0, new_keys = 0;
  // Whether queries (and the output), resp. keys and values are [batch, heads, rows, head_size] and
  // not [batch, rows, heads * head_size].
  bool by_head = false, kv_by_head = false;
  bool causal = false;
  float scale = 0;  // 0: 1 / sqrt(head_size)
  float softcap = 0;
  // [batch or 1, heads or 1, sequence or 1, total or less: other keys are masked]; empty without
  // one.
  Shape mask;

  int64_t total() const { return past + new_keys; }
  Shape output() const {
    return by_head ? Shape{batch, heads, sequence, head_size}
                   : Shape{batch, sequence, heads * head_size};
  }
  Shape present() const { return {batch, kv_heads, total(), head_size}; }
};

// Whether the node is one of the two operators.
bool IsAttention(const Node& node);

// Reads a node of them. `shapes`: its inputs', in order; nothing where one is absent. Throws Error
// naming the node where the shapes do not fit, or are not implemented.
AttentionForm ReadAttention(const Node& node, const std::vector<std::optional<Shape>>& shapes);

}  // namespace sinter::graph

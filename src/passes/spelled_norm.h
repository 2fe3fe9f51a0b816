// Matches the last steps of a normalization that is spelled out: t / sqrt(mean(t^2) + epsilon) over
// the last dimension, with an optional scale. Shared by fuse_layer_norm and fuse_rms_norm; internal
// to src/passes.
#pragma once

#include <optional>
#include <vector>

#include "graph/graph.h"

namespace sinter::passes {

struct SpelledNorm {
  graph::Value* t = nullptr;
  float epsilon = 0;
  graph::Value* scale = nullptr;  // null if there is none
  graph::Value* y = nullptr;      // result: scaled, and of the type after a Cast before the scale
  graph::Node* last = nullptr;    // producer of y
  // Nodes that the norm replaces, readers before producers.
  std::vector<graph::Node*> nodes;
};

// Returns the norm whose quotient `node` computes. Forms of the quotient: t / s, t * (1 / s) and
// t * Reciprocal(s), with s = Sqrt(v) or Pow(v, 0.5), and t * Pow(v, -0.5); v = ReduceMean(t^2) +
// epsilon; t^2 = t * t or Pow(t, 2). A Mul after it by a vector as long as a row is the scale, also
// after a Cast between floats. Requires static shapes.
std::optional<SpelledNorm> MatchSpelledNorm(graph::Node* node);

// Returns whether `node` is a ReduceMean over the last dimension that keeps it with size 1.
bool IsMeanOfRows(const graph::Node* node);

// Returns whether `value` is a vector as long as the rows of `rows`.
bool IsRowVector(const graph::Value* value, const graph::Value* rows);

// Returns the scale, or a new constant of ones in the type of y if there is none.
graph::Value* ScaleOf(graph::Graph& graph, const SpelledNorm& norm);

}  // namespace sinter::passes

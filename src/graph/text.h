// Text form of graphs, for tests, `inspect` and error reports. Parse restores what Print wrote,
// except for the elements of large constants.
//
//   graph main {
//     opset ai.onnx 21
//     input %x: f32[batch, 4]
//     const %two: f32[] = [2]
//     const %weights: f16[256, 128] = zeros
//     %y: f32[batch, 4] = ai.onnx::Mul @scale (%x, %two)
//     %z, _ = com.microsoft::Op (%y, _, %x) {alpha = 1.5f, axes = ints[0, 1], value = i64[1] = [7]}
//     %i = ai.onnx::If (%c) {then_branch = graph t { capture %x return %x }, ...}
//     return %z
//   }
//
// A type consists of an element type or `?`, and the dimensions in brackets: numbers, symbols, `?`
// for an unknown one, or `*` for an unknown rank. `_` stands for an absent input or output. `#`
// starts a comment. Names with characters other than letters, digits and `_./:-` are quoted. A
// subgraph that names no operator sets has those of its parent; `opset _` says that it has none.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace sinter::graph {

// Returns the graph as text. Constants of more than 64 elements are written as `elided`, which
// Parse reads as zeros, or as a constant without bytes if they are more than 2^25.
std::string Print(const Graph& graph);

// Parses a graph. Throws Error that names line and column if `text` is not a graph, or if a
// constant has more than 2^25 zeros. Also accepts graphs that Verify() refuses: values may be used
// before their definition, and operators may be unknown.
std::unique_ptr<Graph> Parse(std::string_view text);

}  // namespace sinter::graph

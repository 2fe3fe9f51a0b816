// Graphs as text: for tests, `inspect` and error reports. Parse restores what Print wrote.
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
// A type is an element type or `?`, and dimensions: numbers, symbols, `?`, or `*` for an unknown
// rank. `_` stands for an absent input or output, `#` starts a comment. Names with other characters
// than letters, digits and `_./:-` are quoted. A subgraph has its parent's operator sets where it
// names none.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace sinter::graph {

// Constants of more than 64 elements are written as `elided`, which Parse reads as zeros.
std::string Print(const Graph& graph);

// Throws Error naming line and column where `text` is no graph. Reads graphs that Verify() refuses,
// too: values may be used before their definition, operators may be unknown.
std::unique_ptr<Graph> Parse(std::string_view text);

}  // namespace sinter::graph

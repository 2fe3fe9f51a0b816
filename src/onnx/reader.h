// Reads model.onnx and its external data into a graph::Graph. The files are not trusted: whatever
// they hold, the result is a graph or an Error("onnx"), and memory stays within a small multiple of
// the files' sizes.
//
// What the graph looks like afterwards:
// - Nodes are in topological order, whatever their order in the file.
// - Initializers and `Constant` nodes are constants. An input with an initializer of its name is
// that constant and no
//   input. Bytes stay in the mapped files where they are raw there.
// - A subgraph (If) reads outer values through captures, on every level between.
// - Values have the types and shapes that the file declares; the others wait for shape inference.
// Refused: functions, training info, sparse tensors, tensors of strings, complex numbers or 8-bit
// floats (unless nobody reads them), sequences, maps, optionals, and attributes of lists of graphs
// or of types.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "graph/graph.h"

namespace sinter::onnx {

// Subgraphs may be nested so deep, the model's own graph not counted.
inline constexpr int kMaxSubgraphDepth = 16;

// Reads the file `model_onnx`; external data is looked for in its folder. Throws Error("onnx"), and
// Error("file") where model_onnx itself cannot be read.
std::unique_ptr<graph::Graph> ReadModel(const std::filesystem::path& model_onnx);

// Reads a model from memory. External data is looked for in `folder`, and refused where there is
// none. `owner` keeps `bytes` alive for the tensors that lie in them; without it they are copied.
// Throws Error("onnx").
std::unique_ptr<graph::Graph> ReadModelBytes(
    std::span<const std::byte> bytes, const std::optional<std::filesystem::path>& folder = {},
    std::shared_ptr<const void> owner = nullptr);

}  // namespace sinter::onnx

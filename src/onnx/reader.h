// Reads model.onnx and its external data into a graph::Graph. The files are not trusted: any
// content gives either a graph or an Error("onnx"), and memory stays within a small multiple of the
// files' sizes.
//
// Properties of the graph:
// - Nodes are in topological order, regardless of their order in the file.
// - Initializers and `Constant` nodes become constants. An input that has an initializer of the
//   same name becomes that constant and is not an input. Constants stored as raw data are views of
//   the mapped files.
// - A subgraph (If) reads outer values through captures. Each graph between the subgraph and the
//   value's own graph captures the value too.
// - Values have the types and shapes that the file declares. Shape inference adds the missing ones
//   later.
// Refused are functions, training info, sparse tensors, sequences, maps, optionals, attributes that
// are lists of graphs or types, and tensors of strings, complex numbers or 8-bit floats. A constant
// of such an element type is an error only if something reads it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/file_source.h"
#include "graph/graph.h"
#include "graph/verify.h"

namespace sinter::onnx {

// Upper bound on the nesting of subgraphs. The model's own graph does not count.
using graph::kMaxSubgraphDepth;

// Reads the file `model_onnx`; external data is looked up in its folder. Throws Error("onnx"), or
// Error("file") if model_onnx itself cannot be read.
std::unique_ptr<graph::Graph> ReadModel(const std::filesystem::path& model_onnx);
// Does the same with the file called `name` and external data among the same files.
std::unique_ptr<graph::Graph> ReadModel(const std::shared_ptr<const FileSource>& files,
                                        const std::string& name);

// Reads a model from memory. External data is looked up in `folder`; without a folder it is
// refused. `owner` keeps `bytes` alive for the tensors that are views of them; without an owner the
// tensors are copies. Throws Error("onnx").
std::unique_ptr<graph::Graph> ReadModelBytes(
    std::span<const std::byte> bytes, const std::optional<std::filesystem::path>& folder = {},
    std::shared_ptr<const void> owner = nullptr);

}  // namespace sinter::onnx

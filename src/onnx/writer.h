// Writes a graph::Graph as an ONNX model. ReadModel restores the same graph.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <string>

#include "graph/graph.h"

namespace sinter::onnx {

// Function that produces a tensor's bytes while they are being written and passes them to `write`
// in order, in pieces of any size.
using ByteSink = std::function<void(std::span<const std::byte>)>;
using TensorSource = std::function<void(const ByteSink& write)>;

struct WriteOptions {
  // Name of the file for external data, in the model's folder. Empty stands for the model's file
  // name with ".data" appended.
  std::string external_file;
  // Constants of at least this many bytes go into the external file. Smaller ones, and tensors in
  // attributes, stay in the model file.
  size_t external_threshold_bytes = 1024;
  // Sources of constants of the main graph, by name. Their bytes are produced while they are
  // written, so that a model may be larger than memory. Such a constant has a type and a shape but
  // no bytes, and goes into the external file. The sources are called in the order in which the
  // values were created.
  std::map<std::string, TensorSource, std::less<>> sources;
};

// Writes `model_onnx` and, if any constant is large enough, the external file. Both are written
// under temporary names and renamed when they are complete, so a file is never left half written,
// and the graph's own constants may be views of the files that are replaced. Throws Error("onnx")
// if a file cannot be written or if the model without external data exceeds 2 GiB, protobuf's
// limit. Exceptions of a source pass through. SINTER_CHECKs that each source gives exactly the
// bytes of its type and shape.
void WriteModel(const graph::Graph& graph, const std::filesystem::path& model_onnx,
                const WriteOptions& options = {});

// Returns the model as bytes with all constants inside. Throws Error("onnx") if they exceed 2 GiB.
std::string WriteModelBytes(const graph::Graph& graph);

}  // namespace sinter::onnx

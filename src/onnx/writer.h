// Writes a graph::Graph as an ONNX model; ReadModel gives the same graph back.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>

#include "graph/graph.h"

namespace sinter::onnx {

struct WriteOptions {
  // The file for external data, in the model's folder. Empty: the model's file name with ".data"
  // appended.
  std::string external_file;
  // Constants of at least so many bytes go there; the others, and tensors in attributes, stay in
  // the model.
  size_t external_threshold_bytes = 1024;
};

// Writes `model_onnx` and, where a constant is large enough, the external file. Both appear
// complete or not at all: they are written under other names and renamed, so that the graph's own
// constants may lie in the files replaced. Throws Error("onnx") where a file cannot be written or
// the model without external data passes 2 GiB, protobuf's bound.
void WriteModel(const graph::Graph& graph, const std::filesystem::path& model_onnx,
                const WriteOptions& options = {});

// The model as bytes, all constants inside. Throws Error("onnx") past 2 GiB.
std::string WriteModelBytes(const graph::Graph& graph);

}  // namespace sinter::onnx

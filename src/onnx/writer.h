// Writes a graph::Graph as an ONNX model; ReadModel gives the same graph back.
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

// Makes a tensor's bytes when they are due, and hands them to `write` in order, in pieces of any
// size.
using ByteSink = std::function<void(std::span<const std::byte>)>;
using TensorSource = std::function<void(const ByteSink& write)>;

struct WriteOptions {
  // The file for external data, in the model's folder. Empty: the model's file name with ".data"
  // appended.
  std::string external_file;
  // Constants of at least so many bytes go there; the others, and tensors in attributes, stay in
  // the model.
  size_t external_threshold_bytes = 1024;
  // By name: constants of the main graph whose bytes are made while they are written, so that a
  // model may be larger than memory. They have a type and a shape and no bytes, and go to the
  // external file. Called in the order in which the values were created.
  std::map<std::string, TensorSource, std::less<>> sources;
};

// Writes `model_onnx` and, where a constant is large enough, the external file. Both appear
// complete or not at all: they are written under other names and renamed, so that the graph's own
// constants may lie in the files replaced. Throws Error("onnx") where a file cannot be written or
// the model without external data passes 2 GiB, protobuf's bound. What a source throws passes
// through; SINTER_CHECKs that it gives as many bytes as type and shape say.
void WriteModel(const graph::Graph& graph, const std::filesystem::path& model_onnx,
                const WriteOptions& options = {});

// The model as bytes, all constants inside. Throws Error("onnx") past 2 GiB.
std::string WriteModelBytes(const graph::Graph& graph);

}  // namespace sinter::onnx

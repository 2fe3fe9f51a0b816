// Reads Hugging Face checkpoints: tensors in one safetensors file, or in several with an index.
// Source: https://github.com/huggingface/safetensors (README, "Format").
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "graph/tensor.h"

namespace sinter::convert {

// A tensor in a mapped file. `owner` keeps the mapping of `bytes` alive.
struct CheckpointTensor {
  // Element type; kUndefined for the 8-bit floats, which cannot be converted here.
  DType dtype = DType::kUndefined;
  std::string dtype_name;  // name in the file, such as "BF16"
  graph::Shape shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

using CheckpointTensors = std::map<std::string, CheckpointTensor, std::less<>>;

// Returns the tensors of one file. The file is not trusted: every offset is checked against the
// file's size and the tensor's type and shape, and tensors may neither overlap nor leave gaps.
// Throws Error("convert"), which names the file and the tensor, if a check fails, and Error("file")
// if the file cannot be read.
CheckpointTensors ReadSafetensors(const std::filesystem::path& file);

// Returns the tensors of a file in memory, which must outlive them. Throws as ReadSafetensors.
CheckpointTensors ReadSafetensorsBytes(std::span<const std::byte> bytes);

// Returns the tensors of a folder: those that model.safetensors.index.json lists, or all of
// model.safetensors. Throws Error("convert") if neither file exists, if the index is damaged, or if
// a file lacks a tensor that the index assigns to it.
CheckpointTensors ReadCheckpoint(const std::filesystem::path& folder);

}  // namespace sinter::convert

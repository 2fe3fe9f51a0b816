// Hugging Face checkpoints: tensors in safetensors files, one or several with an index.
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

// A tensor in a mapped file.
struct CheckpointTensor {
  // kUndefined for the 8-bit float types, which have no conversion here.
  DType dtype = DType::kUndefined;
  std::string dtype_name;  // as the file says: "BF16"
  graph::Shape shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

using CheckpointTensors = std::map<std::string, CheckpointTensor, std::less<>>;

// The tensors of one file. The file is not trusted: every offset is checked against the file's size
// and the tensor's type and shape; tensors neither overlap nor leave gaps. Throws Error("convert")
// naming file and tensor, and Error("file") where the file cannot be read.
CheckpointTensors ReadSafetensors(const std::filesystem::path& file);

// The tensors of a folder: those that model.safetensors.index.json lists, or all of
// model.safetensors. Throws Error("convert") where there is neither, where the index is damaged, or
// where a file does not hold a tensor that the index says it does.
CheckpointTensors ReadCheckpoint(const std::filesystem::path& folder);

}  // namespace sinter::convert

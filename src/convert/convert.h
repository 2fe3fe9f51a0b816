// Makes model folders that Sinter and ONNX Runtime GenAI load, from Hugging Face checkpoints or
// from random weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/decoder.h"
#include "convert/hf_config.h"

namespace sinter::convert {

struct ConvertOptions {
  DecoderOptions decoder;
  // The model's first layers only.
  std::optional<int64_t> layers;
  // Called now and then while weights are written; what it throws ends the conversion.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

struct ConvertReport {
  std::string architecture;  // model_type
  int64_t layers = 0, vocab = 0;
  uint64_t bytes = 0;  // of all files
};

// Reads config.json, generation_config.json, the safetensors files and the tokenizer's files of
// `checkpoint`, and makes the folder `out`, which must not exist (or be empty). The folder appears
// complete or not at all. Memory: some 100 MB, the scales of one tensor, and the rotary tables.
//
// Throws Error("convert") for what is missing, damaged or unknown, naming file and tensor or field:
// also for tensors that the architecture has no use for. Error("onnx") where the disk is full.
ConvertReport ConvertCheckpoint(const std::filesystem::path& checkpoint,
                                const std::filesystem::path& out, const ConvertOptions& options);

// The same from a config.json alone, with random weights and a tokenizer of made-up words.
ConvertReport ConvertRandom(const nlohmann::json& config, const std::string& config_name,
                            uint64_t seed, const std::filesystem::path& out,
                            const ConvertOptions& options);

// The graph of a checkpoint's weights as they are, in f32 and not quantized: in memory, for
// comparisons. Throws as ConvertCheckpoint.
std::unique_ptr<graph::Graph> ReferenceGraph(const std::filesystem::path& checkpoint,
                                             const ConvertOptions& options);

// The numbers in the matrices of the model that config.json of `checkpoint` describes, before
// quantization: all experts', and a tied embedding twice. Reads no other file.
int64_t CountWeights(const std::filesystem::path& checkpoint, const ConvertOptions& options);

// Throws Error("convert") for bits, block sizes and types that there are not.
void CheckOptions(const ConvertOptions& options);

// The configurations that come with Sinter, by name: `qwen3-0.6b`. The JSON; empty where there is
// none of that name.
std::string_view ShippedConfig(std::string_view name);
std::vector<std::string_view> ShippedConfigNames();

}  // namespace sinter::convert

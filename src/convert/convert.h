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
  // Number of layers to keep, counted from the first; all by default.
  std::optional<int64_t> layers;
  // Callback for progress, called after each piece of weights is written. An exception from it ends
  // the conversion.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

struct ConvertReport {
  std::string architecture;  // model_type
  // The model_type of a multimodal checkpoint, of which only the language model was taken; empty
  // for others.
  std::string whole_architecture;
  int64_t layers = 0, vocab = 0;
  uint64_t bytes = 0;  // total of all files
  // Fields of config.json that the conversion ignored without knowing what they mean.
  std::vector<std::string> unknown_fields;
};

// Reads config.json, generation_config.json, the safetensors files and the tokenizer's files of
// `checkpoint`, and makes the folder `out`, which must not exist or must be empty. The folder
// appears complete or not at all. Peak memory is about 100 MB plus the scales of one tensor and the
// rotary tables.
//
// Of a multimodal checkpoint takes the language model (text_part.h).
//
// Throws Error("convert"), which names the file and the tensor or field, if something is missing,
// damaged or unknown, or if the architecture does not use a tensor of the checkpoint or a field of
// config.json that changes the maths. Throws Error("onnx") if the disk is full.
ConvertReport ConvertCheckpoint(const std::filesystem::path& checkpoint,
                                const std::filesystem::path& out, const ConvertOptions& options);

// Makes the same kind of folder from a config.json alone, with random weights and a tokenizer of
// made-up words. `config_name` names the configuration in errors. Throws as ConvertCheckpoint.
ConvertReport ConvertRandom(const nlohmann::json& config, const std::string& config_name,
                            uint64_t seed, const std::filesystem::path& out,
                            const ConvertOptions& options);

// Returns the checkpoint's graph with unquantized f32 weights, all in memory, as the reference for
// comparisons. Throws as ConvertCheckpoint.
std::unique_ptr<graph::Graph> ReferenceGraph(const std::filesystem::path& checkpoint,
                                             const ConvertOptions& options);

// Returns the number of matrix weights of the model that config.json of `checkpoint` describes,
// before quantization. Counts every expert, and a tied embedding twice. Reads only config.json.
int64_t CountWeights(const std::filesystem::path& checkpoint, const ConvertOptions& options);

// Throws Error("convert") for bits, block sizes and accuracy levels that are not supported.
void CheckOptions(const ConvertOptions& options);

// Returns the JSON of a configuration that comes with Sinter, such as `qwen3-0.6b`. Returns an
// empty string if there is none of that name.
std::string_view ShippedConfig(std::string_view name);
std::vector<std::string_view> ShippedConfigNames();

}  // namespace sinter::convert

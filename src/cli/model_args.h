// Options that the subcommands share: the model, how it runs, how tokens are chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/open.h"
#include "generate/generator.h"
#include "gpu/device.h"
#include "model/model_folder.h"

namespace sinter::cli {

// Options of every subcommand that reads a model folder.
struct ModelArgs {
  std::string model;
  std::string device;
  bool json = false;
  bool quiet = false;  // prints no notes; commands that print figures set it
  bool f32 = false;
  std::optional<int64_t> max_length;
  std::optional<int64_t> chunk;
  std::string fusion = "auto";
  std::vector<std::string> disabled_passes;
  std::vector<std::string> variants;
  // Only subcommands that run the model have the options from here on.
  bool checked = false;
  bool no_cache = false;
  bool no_capture = false;
  std::string plan = "auto";
  bool explain = false;
  std::string wgsl_dir;
};
void AddModelArgs(CLI::App& command, ModelArgs& args);
// Lets the option take the name of a model (`sinter list`) for its folder.
void TakeModelName(CLI::Option& option);
// Adds the options of those subcommands that run the model.
void AddExecutionArgs(CLI::App& command, ModelArgs& args);

// Options of the subcommands that generate text.
struct GenerateArgs {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  bool greedy = false;
  bool sample = false;
  std::optional<uint32_t> seed;
  int64_t max_new_tokens = 0;
  std::vector<std::string> stop;
};
void AddGenerateArgs(CLI::App& command, GenerateArgs& args);
// Returns the options for generating. Throws Error for a value out of range, so that the user
// learns of it before the model is loaded.
// Without --seed, the seed is random.
generate::GenerateOptions ToOptions(const GenerateArgs& args, const model::GenaiConfig& config);

// Reads the folder that MODEL names. Throws Error that says what the user can do if something else
// is there: a checkpoint, a GGUF file, a Git LFS pointer (model_input.h).
model::ModelFolder ReadModel(const ModelArgs& args);

gpu::DeviceOptions ToDeviceOptions(const ModelArgs& args);
// Returns the options for loading.
engine::ModelOptions ToModelOptions(const ModelArgs& args);
// Returns the number of tokens for the KV cache: --max-length, or engine::WantedLength(). Throws
// UsageError for a number beyond the context length.
int64_t MaxLength(const ModelArgs& args, const model::GenaiConfig& config,
                  int64_t expected_length = 0);

// Returns the plans that --plan asks for on this device.
engine::Plans PlansFor(const ModelArgs& args, const gpu::Device& device);

}  // namespace sinter::cli

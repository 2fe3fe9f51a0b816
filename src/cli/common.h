// What the subcommands share: options, output, progress, interruption.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "generate/generator.h"
#include "gpu/device.h"
#include "model/model.h"
#include "model/session.h"

namespace sinter::cli {

// A subcommand: adds its options to the parser; the callback runs when it was named.
void AddRun(CLI::App& app);
void AddChat(CLI::App& app);
void AddInspect(CLI::App& app);
void AddDevices(CLI::App& app);
void AddVerify(CLI::App& app);

// Options of every subcommand that opens a device and loads a model.
struct ModelArgs {
  std::string model;
  std::string device;
  bool json = false;
  bool f32 = false;
  bool checked = false;
  bool no_cache = false;
  bool no_capture = false;
  int64_t max_length = 0;
  int64_t chunk = 256;
  std::vector<std::string> disabled_passes;
  std::vector<std::string> variants;
  std::string wgsl_dir;
};
void AddModelArgs(CLI::App& command, ModelArgs& args);

// Options of the subcommands that generate text.
struct GenerateArgs {
  double temperature = -1, top_p = -1, min_p = -1, repetition_penalty = -1;
  int64_t top_k = -1;
  bool greedy = false;
  bool sample = false;
  uint32_t seed = 0;
  int64_t max_new_tokens = 0;
  std::vector<std::string> stop;
};
void AddGenerateArgs(CLI::App& command, GenerateArgs& args);
generate::GenerateOptions ToOptions(const GenerateArgs& args);

gpu::DeviceOptions ToDeviceOptions(const ModelArgs& args);
model::ModelOptions ToModelOptions(const ModelArgs& args);

// A loaded model with one session, and how long the load took.
struct Loaded {
  std::shared_ptr<model::Model> model;
  std::shared_ptr<model::Session> session;
  double seconds = 0;
};
// Opens the device and loads, with a progress bar on a terminal.
Loaded Load(const ModelArgs& args);

// Ctrl-C sets this; a second one ends the process at once.
extern std::atomic<bool> interrupted;
void CatchInterrupts();
// Throws Error where Ctrl-C was pressed.
void CheckInterrupted();

// "1.2 GB": decimal units.
std::string BytesText(uint64_t bytes);

// Whole standard input.
std::string ReadStandardInput();

// Exit codes.
inline constexpr int kFailure = 1;
inline constexpr int kUsage = 2;
inline constexpr int kInterrupted = 130;

}  // namespace sinter::cli

#include "cli/common.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "base/error.h"
#include "kernels/shader_source.h"

namespace sinter::cli {
namespace {

// A line on the terminal that is drawn anew as the bytes go up, and removed at the end.
class ProgressBar {
 public:
  ProgressBar() : shown_(isatty(STDERR_FILENO) != 0) {}
  ~ProgressBar() {
    if (drawn_) fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
  }

  void Update(uint64_t done, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (!shown_ || total == 0 || (drawn_ && now - last_ < std::chrono::milliseconds(50))) return;
    last_ = now;
    drawn_ = true;
    const uint64_t filled = done * kWidth / total;
    fmt::print(stderr, "\rloading [{:=<{}}{:<{}}] {:3}%  {} of {}\x1b[K", "", filled, "", kWidth - filled,
               done * 100 / total, BytesText(done), BytesText(total));
    std::fflush(stderr);
  }

 private:
  static constexpr uint64_t kWidth = 30;
  bool shown_, drawn_ = false;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace

std::atomic<bool> interrupted = false;

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = true; };
  // The handler goes after the first signal, so that the second ends the process.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
}

void CheckInterrupted() {
  if (interrupted) throw Error("cli", "interrupted");
}

void AddModelArgs(CLI::App& command, ModelArgs& args) {
  command.add_option("MODEL", args.model, "Model folder (genai_config.json, model.onnx, tokenizer.json)")->required();
  command.add_option("--device", args.device,
                     "GPU: an index, a part of its name, or 'software' (see: sinter devices); default: the best one");
  command.add_flag("--json", args.json, "Machine-readable output");
  command.add_option("--max-length", args.max_length,
                     "Tokens that the KV cache holds (default: the model's search.max_length)");
  command.add_option("--chunk", args.chunk, "Most prompt tokens in one run")->capture_default_str();
  command.add_flag("--f32", args.f32, "Compute in f32, as on a GPU without shader-f16");
  command.add_flag("--no-capture", args.no_capture, "Bind and record every dispatch anew in each run");
  command.add_flag("--checked", args.checked, "Validation and bounds checks on the GPU (slow)");
  command.add_flag("--no-cache", args.no_cache, "Keep no compiled shaders on disk");
  command.add_option("--disable-pass", args.disabled_passes, "Leave a graph rewrite out, by name (repeatable)");
  command.add_option("--variant", args.variants, "Force a kernel's variant: KERNEL=VARIANT (repeatable)");
  command.add_option("--wgsl-dir", args.wgsl_dir, "Read shaders from this folder (src/kernels) first");
}

void AddGenerateArgs(CLI::App& command, GenerateArgs& args) {
  command.add_flag("--greedy", args.greedy, "Always the most probable token");
  command.add_flag("--sample", args.sample, "Draw tokens with the model's own settings");
  command.add_option("--temperature", args.temperature, "Draw tokens; below 1 more likely ones, 0 is greedy")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--top-k", args.top_k, "Only the K most probable tokens (0: all)")->check(CLI::NonNegativeNumber);
  command.add_option("--top-p", args.top_p, "Only the most probable tokens that make up P")->check(CLI::Range(0., 1.));
  command.add_option("--min-p", args.min_p, "Only tokens at least P times as probable as the first")
      ->check(CLI::Range(0., 1.));
  command.add_option("--repetition-penalty", args.repetition_penalty, "Above 1: tokens seen before become less likely")
      ->check(CLI::PositiveNumber);
  command.add_option("--seed", args.seed, "Seed of the draws")->capture_default_str();
  command.add_option("-n,--max-new-tokens", args.max_new_tokens, "Stop after this many tokens (0: at --max-length)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--stop", args.stop, "Stop before this text (repeatable)");
}

generate::GenerateOptions ToOptions(const GenerateArgs& args) {
  generate::GenerateOptions options;
  if (args.greedy) options.do_sample = false;
  if (args.sample) options.do_sample = true;
  if (args.temperature >= 0) options.temperature = args.temperature;
  if (args.top_k >= 0) options.top_k = args.top_k;
  if (args.top_p >= 0) options.top_p = args.top_p;
  if (args.min_p >= 0) options.min_p = args.min_p;
  if (args.repetition_penalty >= 0) options.repetition_penalty = args.repetition_penalty;
  options.seed = args.seed;
  options.max_new_tokens = args.max_new_tokens;
  options.stop = args.stop;
  return options;
}

gpu::DeviceOptions ToDeviceOptions(const ModelArgs& args) {
  gpu::DeviceOptions options;
  options.adapter = args.device;
  options.checked = args.checked;
  options.f16 = !args.f32;
  if (!args.no_cache) options.cache_dir = gpu::DefaultCacheDir();
  return options;
}

model::ModelOptions ToModelOptions(const ModelArgs& args) {
  model::ModelOptions options;
  options.disabled_passes = {args.disabled_passes.begin(), args.disabled_passes.end()};
  for (const std::string& variant : args.variants) {
    const size_t equals = variant.find('=');
    if (equals == std::string::npos) throw Error("cli", "--variant: got '{}', want KERNEL=VARIANT", variant);
    options.variants[variant.substr(0, equals)] = variant.substr(equals + 1);
  }
  return options;
}

Loaded Load(const ModelArgs& args) {
  const auto start = std::chrono::steady_clock::now();
  if (!args.wgsl_dir.empty()) kernels::SetWgslOverrideDir(args.wgsl_dir);
  // Files first: a wrong folder should be told before a GPU is looked for.
  model::ModelFolder folder = model::ModelFolder::Read(args.model);
  model::ModelOptions options = ToModelOptions(args);
  ProgressBar bar;
  options.progress = [&bar](uint64_t done, uint64_t total) {
    CheckInterrupted();
    bar.Update(done, total);
  };
  Loaded loaded;
  loaded.model = std::make_shared<model::Model>(std::move(folder), gpu::Device::Open(ToDeviceOptions(args)), options);
  loaded.session = std::make_shared<model::Session>(
      loaded.model, model::SessionOptions{args.max_length, args.chunk, {.capture = !args.no_capture}});
  loaded.model->device()->Wait();
  // The bar goes with this function.
  loaded.model->weights().set_progress({});
  loaded.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return loaded;
}

std::string BytesText(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string ReadStandardInput() { return {std::istreambuf_iterator<char>(std::cin), {}}; }

}  // namespace sinter::cli

#include "cli/model_args.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <random>

#include "base/error.h"
#include "cli/checks.h"
#include "cli/command_tree.h"
#include "cli/model_input.h"
#include "cli/model_names.h"
#include "cli/nearest.h"
#include "cli/usage.h"
#include "compile/lowering.h"
#include "passes/pipeline.h"

namespace sinter::cli {

void TakeModelName(CLI::Option& option) {
  option.type_name("MODEL")->transform(
      [](const std::string& given) { return ResolveModel(given); });
}

namespace {

// Returns what is wrong with a name for --disable-pass, or "". Prints all names for `help`.
std::string CheckPass(const std::string& name) {
  std::vector<std::string> names;
  for (const passes::Stage stage : {passes::Stage::kModel, passes::Stage::kProgram}) {
    for (const passes::Pass& pass : passes::Passes(stage)) names.emplace_back(pass.name);
  }
  // The parser prints this text and ends, as for --version.
  if (name == "help") throw CLI::CallForVersion(fmt::format("{}", fmt::join(names, "\n")), 0);
  if (std::ranges::find(names, name) != names.end()) return "";
  return fmt::format("got '{}', want one of {}{}", Excerpt(name), fmt::join(names, ", "),
                     Suggestion(name, names));
}

// Returns what is wrong with a value of --variant, or "". Prints the names of kernels for `help`.
std::string CheckVariant(const std::string& text) {
  const std::vector<std::string> names(compile::Kernels().begin(), compile::Kernels().end());
  if (text == "help") throw CLI::CallForVersion(fmt::format("{}", fmt::join(names, "\n")), 0);
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    return fmt::format("got '{}', want KERNEL=VARIANT", Excerpt(text));
  const std::string kernel = text.substr(0, equals);
  if (std::ranges::find(names, kernel) != names.end()) return "";
  return fmt::format("got kernel '{}', want one of {}{}", Excerpt(kernel), fmt::join(names, ", "),
                     Suggestion(kernel, names));
}

}  // namespace

void AddModelArgs(CLI::App& command, ModelArgs& args) {
  TakeModelName(
      *command
           .add_option("MODEL", args.model,
                       "Model: a name (see: sinter list), or a folder that sinter convert "
                       "or ONNX Runtime GenAI's model builder made")
           ->required());
  command
      .add_option("--device", args.device,
                  "GPU to use: an index, a part of its name, or 'software' (default: the best one; "
                  "see: sinter devices)")
      ->type_name("GPU");
  command
      .add_option("-c,--max-length,--ctx-size", args.max_length,
                  "Room for this many tokens, prompt and answer together (default: the model's "
                  "context, at most 8192, and what fits the GPU's memory)")
      ->check(WholeNumber(1));
  command.add_flag("--json", args.json, "Print JSON");
  command
      .add_option(
          "--chunk", args.chunk,
          "Process at most this many prompt tokens at once (default: 512, or up to 2048 on "
          "a fast GPU). A model whose prompts cannot be cut (see: sinter inspect) ignores it")
      ->check(WholeNumber(1))
      ->group(kAdvanced);
  command.add_flag("--f32", args.f32, "Compute in f32, as on a GPU without shader-f16")
      ->group(kAdvanced);
  command
      .add_option(
          "--fusion", args.fusion,
          "How many operations to fuse into one dispatch: none, layer (a few dispatches per "
          "layer), chain (one dispatch for many layers), or auto (layer or chain, whichever "
          "is faster)")
      ->check(OneOf({"auto", "none", "layer", "chain"}))
      ->type_name("LEVEL")
      ->capture_default_str()
      ->group(kAdvanced);
  command
      .add_option("--disable-pass", args.disabled_passes,
                  "Skip a graph rewrite; 'help' lists them (repeatable)")
      ->allow_extra_args(false)
      ->check(CheckPass)
      ->type_name("NAME")
      ->group(kAdvanced);
  command
      .add_option(
          "--variant", args.variants,
          "Force a kernel's variant; 'help' lists the kernels, and KERNEL=help the variants "
          "(repeatable)")
      ->allow_extra_args(false)
      ->check(CheckVariant)
      ->type_name("KERNEL=VARIANT")
      ->group(kAdvanced);
}

void AddExecutionArgs(CLI::App& command, ModelArgs& args) {
  command
      .add_option("--plan", args.plan,
                  "How kernels are tuned: guess, measure (at load, unless it was done before; see: "
                  "sinter tune), or auto (earlier measurements, else guesses)")
      ->check(OneOf({"auto", "measure", "guess"}))
      ->type_name("PLAN")
      ->capture_default_str()
      ->group(kAdvanced);
  command.add_flag("--explain", args.explain, "Print which plans were chosen, and their times")
      ->group(kAdvanced);
  command
      .add_flag("--no-capture", args.no_capture,
                "Record the GPU's commands anew in every run instead of replaying them")
      ->group(kAdvanced);
  command.add_flag("--checked", args.checked, "Validate and check bounds on the GPU (slow)")
      ->group(kAdvanced);
  command
      .add_flag("--no-cache", args.no_cache,
                "Do not read or keep compiled shaders and plans on disk")
      ->group(kAdvanced);
  command
      .add_option("--wgsl-dir", args.wgsl_dir,
                  "Read shaders from this folder first, such as a checkout's src/kernels")
      ->type_name("DIR")
      ->group(kAdvanced);
}

void AddGenerateArgs(CLI::App& command, GenerateArgs& args) {
  command
      .add_option("-n,--max-new-tokens,--max-tokens,--n-predict", args.max_new_tokens,
                  "Stop after this many tokens; 0: when --max-length is reached")
      ->check(WholeNumber(0))
      ->capture_default_str();
  command.add_option("--stop", args.stop, "Stop before this text (repeatable)")
      ->allow_extra_args(false);
  const std::string group = "Sampling (default: as the model's genai_config.json says)";
  command
      .add_option("--temperature,--temp", args.temperature,
                  "Draw tokens: below 1 likely ones more often, above 1 less often; 0: greedy")
      ->check(Number(0, 1e6))
      ->group(group);
  command.add_option("--top-k", args.top_k, "Draw from the N most likely tokens; 0: from all")
      ->check(WholeNumber(0, 1 << 30))
      ->group(group);
  command
      .add_option("--top-p", args.top_p,
                  "Draw from the most likely tokens that together have this probability (0 to 1)")
      ->check(Number(0, 1))
      ->group(group);
  command
      .add_option("--min-p", args.min_p,
                  "Draw from tokens at least X times as likely as the likeliest (0 to 1)")
      ->check(Number(0, 1))
      ->group(group);
  command
      .add_option("--repetition-penalty,--repeat-penalty", args.repetition_penalty,
                  "Above 1: make tokens that occurred before less likely")
      ->check(Number(1e-3, 1e3))
      ->group(group);
  command
      .add_option("-s,--seed", args.seed,
                  "Seed of the random draws (default: a random one, which is printed)")
      ->check(WholeNumber(0, UINT32_MAX))
      ->group(group);
  command.add_flag("--greedy", args.greedy, "Always choose the most likely token")->group(group);
  command.add_flag("--sample", args.sample, "Draw tokens at random")
      ->group(group)
      ->excludes("--greedy");
}

generate::GenerateOptions ToOptions(const GenerateArgs& args, const model::GenaiConfig& config) {
  generate::GenerateOptions options;
  if (args.greedy) options.do_sample = false;
  if (args.sample) options.do_sample = true;
  options.temperature = args.temperature;
  options.top_k = args.top_k;
  options.top_p = args.top_p;
  options.min_p = args.min_p;
  options.repetition_penalty = args.repetition_penalty;
  options.seed = args.seed ? *args.seed : std::random_device()();
  options.max_new_tokens = args.max_new_tokens;
  options.stop = args.stop;
  generate::ChooseBy(config, options);
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

engine::ModelOptions ToModelOptions(const ModelArgs& args) {
  engine::ModelOptions options;
  if (args.fusion == "none") options.fusion = passes::Fusion::kNone;
  if (args.fusion == "layer") options.fusion = passes::Fusion::kLayer;
  if (args.fusion == "chain") options.fusion = passes::Fusion::kChain;
  options.disabled_passes = {args.disabled_passes.begin(), args.disabled_passes.end()};
  for (const std::string& variant : args.variants) {
    const size_t equals = variant.find('=');
    options.variants[variant.substr(0, equals)] = variant.substr(equals + 1);
  }
  return options;
}

int64_t MaxLength(const ModelArgs& args, const model::GenaiConfig& config,
                  int64_t expected_length) {
  if (args.max_length && *args.max_length > config.context_length) {
    throw UsageError("--max-length: got {}, want 1 to {} (the model's context length)",
                     *args.max_length, config.context_length);
  }
  return engine::WantedLength(config, args.max_length, expected_length);
}

engine::Plans PlansFor(const ModelArgs& args, const gpu::Device& device) {
  if (args.plan == "measure") return engine::Plans::kMeasure;
  // A software GPU takes long to compile, and guessed plans are good enough there.
  const bool guess = args.plan == "guess" || (args.plan == "auto" && device.adapter().software);
  return guess ? engine::Plans::kGuess : engine::Plans::kKnown;
}

model::ModelFolder ReadModel(const ModelArgs& args) {
  CheckModelInput(args.model);
  try {
    return model::ModelFolder::Read(args.model);
  } catch (const Error&) {
    CheckDownload(args.model);
    throw;
  }
}

}  // namespace sinter::cli

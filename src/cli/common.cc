#include "cli/common.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <random>
#include <utility>

#include "base/error.h"
#include "cli/checks.h"
#include "cli/command_tree.h"
#include "cli/model_input.h"
#include "cli/model_names.h"
#include "cli/nearest.h"
#include "cli/status_text.h"
#include "cli/usage.h"
#include "compile/lowering.h"
#include "kernels/shader_source.h"
#include "model/chunking.h"
#include "passes/pipeline.h"

namespace sinter::cli {
std::atomic<bool> interrupted = false;
std::atomic<bool (*)(int)> signal_hook = nullptr;

namespace {

// Signal that made `interrupted` true, or 0.
std::atomic<int> caught = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may use it");

// Pipe that the handler of signals writes to. It ends ReadMore's wait even if the signal comes just
// before poll().
int wakeup[2] = {-1, -1};

// Upper bound on the text that is taken at once; a million tokens have some 4 MB.
constexpr size_t kMaxInputBytes = size_t{256} << 20;

// Bytes read from standard input that no caller has taken yet.
std::string input;

// Appends the next bytes of standard input to `input`. Returns false at the input's end and when
// `interrupted`. Throws Error if it cannot be read, or if nobody takes kMaxInputBytes of it.
bool ReadMore() {
  const StatusPause pause;  // The user may be typing.
  while (!interrupted) {
    pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {wakeup[0], POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 || fds[0].revents == 0) continue;
    char buffer[4096];
    const ssize_t bytes = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) throw Error("cli", "standard input: got '{}', want text", std::strerror(errno));
    if (bytes == 0) return false;
    if (input.size() >= kMaxInputBytes)
      throw Error("cli", "standard input: got more than {} MiB, want text", kMaxInputBytes >> 20);
    input.append(buffer, static_cast<size_t>(bytes));
    return true;
  }
  return false;
}

struct sigaction SignalAction();

void HandleSignal(int signal) {
  const int saved = errno;
  if (bool (*const hook)(int) = signal_hook; hook != nullptr && hook(signal)) {
    const struct sigaction same = SignalAction();
    sigaction(signal, &same, nullptr);
  }
  caught = signal;
  interrupted = true;
  // The write wakes ReadMore, whichever thread got the signal. A full pipe has woken it already.
  [[maybe_unused]] const ssize_t written = write(wakeup[1], "", 1);
  errno = saved;
}

struct sigaction SignalAction() {
  struct sigaction action = {};
  action.sa_handler = HandleSignal;
  // The first signal of a kind also removes its handler, so the second one ends the process.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  return action;
}

}  // namespace

void ReserveStandardFiles() {
  // All three are opened read-only, so that writes fail as they would on a closed file.
  for (int fd = open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0;
       fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) {
    if (fd <= STDERR_FILENO) continue;
    close(fd);
    break;
  }
}

void CatchSignals() {
  interrupted = false;
  int only_stopped = SIGINT;
  caught.compare_exchange_strong(only_stopped, 0);
  // A signal that ends the program may have come after an earlier Ctrl-C.
  if (caught != 0) interrupted = true;
  if (wakeup[0] < 0 && pipe2(wakeup, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw Error("cli", "pipe: got '{}', want a pipe", std::strerror(errno));
  }
  for (char byte = 0; read(wakeup[0], &byte, 1) == 1;) {
  }
  // A file beyond the limit of `ulimit -f` is then an error of the write.
  signal(SIGXFSZ, SIG_IGN);
  const struct sigaction action = SignalAction();
  sigaction(SIGINT, &action, nullptr);
  if (interrupted) return;
  sigaction(SIGTERM, &action, nullptr);
  // nohup starts programs with SIGHUP ignored.
  struct sigaction before = {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)
    sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

void CheckInterrupted() {
  if (interrupted) throw Error("cli", "got a signal to end, want to go on: start again");
}

int WakeupFd() { return wakeup[0]; }

int InterruptedCode() { return 128 + caught; }

void Out(std::string_view text) {
  EraseStatusLine();
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return;
  if (errno == EPIPE) throw OutputClosed();
  throw Error("cli", "standard output: got '{}', want a place to write to", std::strerror(errno));
}

WaitingNotice::WaitingNotice(const gpu::Device& device, OnSignal on_signal)
    : status_(
          [on_signal, begin = std::chrono::steady_clock::now(),
           software = device.adapter().software](size_t columns) {
            if (interrupted && on_signal == OnSignal::kGoOn)
              return FitColumns("stopping...", columns);
            const auto passed = std::chrono::steady_clock::now() - begin;
            return WaitText(std::chrono::duration_cast<std::chrono::seconds>(passed).count(),
                            software, columns);
          },
          {.on_signal = on_signal, .quiet = std::chrono::milliseconds(250)}) {}

void OutJson(const nlohmann::json& json, int indent) {
  Out(json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void Err(std::string_view text) noexcept {
  EraseStatusLine();
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

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

namespace {

// Models kept until the process ends, because background threads may still compile; never freed.
std::vector<std::shared_ptr<engine::Model>>& LeftModels() {
  static auto* models = new std::vector<std::shared_ptr<engine::Model>>();
  return *models;
}
bool leaves_threads = false;

}  // namespace

Loaded::~Loaded() {
  if (model == nullptr || !model->programs().IsPreparing()) return;
  LeftModels().push_back(model);
  leaves_threads = true;
}

void Leave(Loaded loaded) {
  LeftModels().push_back(std::move(loaded.model));
  new std::shared_ptr<engine::Sequence>(std::move(loaded.session));  // never freed
  leaves_threads = true;
}

bool LeavesThreads() { return leaves_threads; }

void LeaveRunning(std::unique_ptr<engine::IdleTuner> tuner) {
  if (tuner == nullptr) return;
  if (tuner->done()) return;
  tuner.release();  // NOLINT(bugprone-unused-return-value): its thread ends with the process
  leaves_threads = true;
}

std::string RunFormText(const model::RunForm& form) {
  if (!form.exact) return "prompts: cut into runs of any length, the last one padded";
  return fmt::format("prompts: each in one run of exactly its tokens, because of {}", form.reason);
}

void Explain(const Loaded& loaded) {
  Err(RunFormText(loaded.model->run_form()) + "\n");
  Err(fmt::format("chunk: {} prompt tokens in one run at most\n", loaded.session->chunk()));
  const std::vector<run::PlanRecord> records = loaded.model->plans().records();
  if (records.empty()) return Err("plans: best guesses, nothing was measured\n");
  Err(fmt::format("{:>10} {:>10}  {:<28} {:>5}  {}\n", "us", "guess, us", "chosen", "of", "kind"));
  for (const run::PlanRecord& record : records) {
    Err(fmt::format("{:>10.2f} {:>10.2f}  {:<28} {:>5}  {}{}\n", record.microseconds,
                    record.guess_microseconds, record.variant, record.alternatives, record.guess,
                    record.from_disk ? " (measured earlier)" : ""));
  }
}

engine::OpenedModel OpenFor(const ModelArgs& args, model::ModelFolder folder,
                            const std::shared_ptr<gpu::Device>& device,
                            std::optional<int64_t> max_length, engine::OpenOptions options) {
  const auto progress = std::move(options.model.progress);
  options.model = ToModelOptions(args);
  options.model.progress = progress;
  options.model.prepare_in_background = true;
  options.plans = PlansFor(args, *device);
  options.max_length = max_length;
  options.chunk = args.chunk.value_or(0);
  options.run = {.capture = !args.no_capture};
  return engine::Open(std::move(folder), device, options);
}

Opening::Opening(const ModelArgs& args)
    : progress_(std::make_unique<Progress>()),
      device_(
          std::async(std::launch::async, [options = ToDeviceOptions(args), &progress = *progress_] {
            auto device = gpu::Device::Open(options);
            progress.device = device.get();
            return device;
          })) {
  // Programs that read JSON expect nothing else where no terminal is.
  const bool shown = !args.json || isatty(STDERR_FILENO) != 0;
  status_ = std::make_unique<StatusLine>([&state = *progress_, shown](size_t columns) {
    if (!shown) return std::string();
    LoadProgress progress;
    if (const gpu::Device* device = state.device) {
      const gpu::CompileProgress shaders = device->compile_progress();
      progress.device_open = true;
      progress.shaders_done = shaders.done;
      progress.shaders_begun = shaders.begun;
    }
    progress.loading = state.loading;
    progress.done_bytes = state.done_bytes;
    progress.total_bytes = state.total_bytes;
    if (state.measured >= 0) progress.measured = state.measured.load();
    return LoadText(progress, columns);
  });
}

std::shared_ptr<gpu::Device> Opening::Get() {
  opened_ = device_.get();
  return opened_;
}

namespace {

// Tells that nothing is kept on disk if that is so, because each start then takes longer.
void NoteCache(const ModelArgs& args, const gpu::Device& device) {
  const std::filesystem::path& folder = device.options().cache_dir;
  if (folder.empty() || args.json || args.quiet) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (access(folder.c_str(), W_OK | X_OK) == 0) return;
  Err(
      fmt::format("sinter: cannot write to {}: each start compiles the shaders again "
                  "(XDG_CACHE_HOME names another folder)\n",
                  folder.string()));
}

// Tells that the KV cache is shorter than the model's context, and why.
void NoteLength(const ModelArgs& args, const Loaded& loaded, engine::LengthLimit limit) {
  if (limit == engine::LengthLimit::kNone || args.json || args.quiet) return;
  const gpu::Device& device = *loaded.model->device();
  std::string why;
  if (limit == engine::LengthLimit::kBinding) {
    why = fmt::format("; this GPU binds at most {} at once",
                      BytesText(device.caps().limits.max_storage_binding_bytes));
  } else if (limit == engine::LengthLimit::kMemory) {
    why = "; this GPU has no memory for more";
  } else {
    why = "; --max-length N for more";
  }
  Err(fmt::format("sinter: room for {} of the model's {} tokens{}\n", loaded.session->max_length(),
                  loaded.model->config().context_length, why));
}

}  // namespace

Loaded Load(const ModelArgs& args, model::ModelFolder folder, Opening opening,
            int64_t expected_length) {
  const auto start = std::chrono::steady_clock::now();
  if (!args.wgsl_dir.empty()) {
    if (!std::filesystem::is_directory(args.wgsl_dir)) {
      throw UsageError("--wgsl-dir: got '{}', want a folder of shaders (a checkout's src/kernels)",
                       args.wgsl_dir);
    }
    kernels::SetWgslOverrideDir(args.wgsl_dir);
  }
  MaxLength(args, folder.config);
  if (!opening.valid()) opening = Opening(args);
  Opening::Progress& progress = opening.progress();
  progress.total_bytes = folder.weight_bytes();
  const std::shared_ptr<gpu::Device> device = opening.Get();
  progress.loading = true;
  CheckInterrupted();
  engine::OpenOptions options;
  options.expected_length = expected_length;
  options.model.progress = [&](uint64_t done, uint64_t total) {
    CheckInterrupted();
    progress.done_bytes = done;
    progress.total_bytes = total;
  };
  options.measuring = [&](double share) {
    CheckInterrupted();
    progress.measured = share;
  };
  engine::OpenedModel opened =
      OpenFor(args, std::move(folder), device, args.max_length, std::move(options));
  opening.End();
  CheckInterrupted();
  Loaded loaded;
  loaded.model = std::move(opened.model);
  loaded.session = std::move(opened.sequence);
  NoteCache(args, *device);
  NoteLength(args, loaded, opened.limit);
  loaded.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (args.explain) Explain(loaded);
  return loaded;
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

void CheckUtf8(std::string_view text, std::string_view what) {
  if (const std::string problem = Utf8Problem(text); !problem.empty())
    throw Error("cli", "{}: {}", what, problem);
}

bool HasStandardInput() {
  if (input.empty()) ReadMore();
  CheckInterrupted();
  return !input.empty();
}

std::string ReadStandardInput() {
  while (ReadMore()) {
  }
  CheckInterrupted();
  return std::exchange(input, {});
}

std::optional<std::string> ReadLine() {
  size_t end = input.find('\n');
  while (end == std::string::npos) {
    const size_t searched = input.size();
    if (!ReadMore()) {
      if (interrupted || input.empty()) return std::nullopt;
      end = input.size();  // The last line may lack its newline.
      break;
    }
    end = input.find('\n', searched);
  }
  std::string line = input.substr(0, end);
  input.erase(0, end + 1);
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace sinter::cli

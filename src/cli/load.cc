#include "cli/load.h"

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/bytes_text.h"
#include "base/error.h"
#include "cli/standard_io.h"
#include "cli/status_text.h"
#include "cli/usage.h"
#include "kernels/shader_source.h"

namespace sinter::cli {

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

void UseWgslDir(const ModelArgs& args) {
  if (args.wgsl_dir.empty()) return;
  if (!std::filesystem::is_directory(args.wgsl_dir)) {
    throw UsageError("--wgsl-dir: got '{}', want a folder of shaders (a checkout's src/kernels)",
                     args.wgsl_dir);
  }
  kernels::SetWgslOverrideDir(args.wgsl_dir);
}

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

// Returns options whose callbacks keep `progress` up to date, and stop at a signal.
engine::OpenOptions Watched(Opening::Progress& progress) {
  engine::OpenOptions options;
  options.model.progress = [&](uint64_t done, uint64_t total) {
    CheckInterrupted();
    progress.done_bytes = done;
    progress.total_bytes = total;
  };
  options.measuring = [&](double share) {
    CheckInterrupted();
    progress.measured = share;
  };
  return options;
}

// Checks the arguments, and returns the device that the model is loaded on. `opening` is begun
// unless it was before.
std::shared_ptr<gpu::Device> BeginLoad(const ModelArgs& args, const model::ModelFolder& folder,
                                       Opening& opening) {
  UseWgslDir(args);
  MaxLength(args, folder.config);
  if (!opening.valid()) opening = Opening(args);
  Opening::Progress& progress = opening.progress();
  progress.total_bytes = folder.weight_bytes();
  std::shared_ptr<gpu::Device> device = opening.Get();
  progress.loading = true;
  CheckInterrupted();
  return device;
}

// Returns the model for an engine.
std::shared_ptr<engine::Model> OpenModel(const ModelArgs& args, model::ModelFolder folder,
                                         std::shared_ptr<gpu::Device> device,
                                         engine::OpenOptions options) {
  const engine::Plans plans = PlansFor(args, *device);
  if (plans == engine::Plans::kMeasure) {
    // Plans are measured on a sequence's programs, and on its cache.
    return OpenFor(args, std::move(folder), device, args.max_length, std::move(options)).model;
  }
  engine::ModelOptions model = ToModelOptions(args);
  model.progress = std::move(options.model.progress);
  model.prepare_in_background = true;
  model.plans_on_disk = plans != engine::Plans::kGuess;
  return std::make_shared<engine::Model>(std::move(folder), std::move(device), model);
}

}  // namespace

LoadedEngine LoadEngine(const ModelArgs& args, model::ModelFolder folder, Opening opening,
                        const std::function<engine::EngineOptions(const engine::Model&)>& options) {
  const auto start = std::chrono::steady_clock::now();
  const std::shared_ptr<gpu::Device> device = BeginLoad(args, folder, opening);
  LoadedEngine loaded;
  loaded.model = std::make_shared<std::shared_ptr<engine::Model>>(
      OpenModel(args, std::move(folder), device, Watched(opening.progress())));
  engine::EngineOptions engine_options = options(**loaded.model);
  engine_options.run = {.capture = !args.no_capture};
  loaded.engine = std::make_unique<engine::Engine>(
      [args, current = loaded.model, first = true]() mutable {
        if (!std::exchange(first, false)) {
          current->reset();
          *current = OpenModel(args, ReadModel(args), gpu::Device::Open(ToDeviceOptions(args)), {});
        }
        return *current;
      },
      engine_options);
  (*loaded.model)->weights().set_progress({});
  opening.End();
  CheckInterrupted();
  NoteCache(args, *device);
  loaded.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return loaded;
}

Loaded Load(const ModelArgs& args, model::ModelFolder folder, Opening opening,
            int64_t expected_length) {
  const auto start = std::chrono::steady_clock::now();
  const std::shared_ptr<gpu::Device> device = BeginLoad(args, folder, opening);
  engine::OpenOptions options = Watched(opening.progress());
  options.expected_length = expected_length;
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

}  // namespace sinter::cli

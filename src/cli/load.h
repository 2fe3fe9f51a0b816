// Loads the model that the options name, and says meanwhile what goes on.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "cli/model_args.h"
#include "cli/status.h"
#include "engine/engine.h"
#include "engine/open.h"
#include "engine/tuner.h"
#include "gpu/device.h"

namespace sinter::cli {

// A loaded model with one sequence, and the seconds that loading took.
//
// If background compilation is in progress at destruction, the model is kept until the process
// ends: a driver cannot be stopped, and the user should not wait for it. LeavesThreads() then
// returns true.
struct Loaded {
  std::shared_ptr<engine::Model> model;
  std::shared_ptr<engine::Sequence> session;
  double seconds = 0;

  Loaded() = default;
  Loaded(Loaded&&) = default;
  Loaded& operator=(Loaded&&) = default;
  ~Loaded();
};
// Keeps a model until the process ends. A driver takes 0.1 s or more to release gigabytes and a
// device, and a user who has the answer should not wait for that.
void Leave(Loaded loaded);
// Returns whether a model or a tuner was kept until the process ends; the process must then end by
// _Exit.
bool LeavesThreads();
// Keeps `tuner` until the process ends, unless it is done.
void LeaveRunning(std::unique_ptr<engine::IdleTuner> tuner);

// Opens a folder's model on the device as the arguments say.
engine::OpenedModel OpenFor(const ModelArgs& args, model::ModelFolder folder,
                            const std::shared_ptr<gpu::Device>& device,
                            std::optional<int64_t> max_length, engine::OpenOptions options = {});
// Returns how a model's prompts run, as one line for the user.
std::string RunFormText(const model::RunForm& form);
// Prints how prompts run, the chosen plans and the chunk to standard error.
void Explain(const Loaded& loaded);
// A device that opens in the background, which takes a driver some 0.3 s, and the status line of
// the load that this begins.
class Opening {
 public:
  Opening() = default;
  // Starts to open the device while the caller reads files, and tells so on a terminal. A signal
  // then ends the process within 0.3 s.
  explicit Opening(const ModelArgs& args);

  bool valid() const { return device_.valid(); }
  // Waits for the device. Throws what opening it threw.
  std::shared_ptr<gpu::Device> Get();
  // Figures that the status line shows.
  struct Progress {
    std::atomic<gpu::Device*> device = nullptr;
    std::atomic<bool> loading = false;
    std::atomic<uint64_t> done_bytes = 0, total_bytes = 0;
    std::atomic<double> measured = -1;
  };
  Progress& progress() { return *progress_; }
  // Ends the status line.
  void End() { status_.reset(); }

 private:
  std::unique_ptr<Progress> progress_;
  std::future<std::shared_ptr<gpu::Device>> device_;
  std::shared_ptr<gpu::Device> opened_;
  std::unique_ptr<StatusLine> status_;
};
// Waits for the device and loads the model. With --explain, prints the table to standard error
// afterwards. `folder` is the folder already read from args.model, so that errors in it are
// reported before a GPU is searched. `expected_length` is the number of tokens that are known to
// come. Prints a note if the KV cache holds fewer tokens than the model's context.
Loaded Load(const ModelArgs& args, model::ModelFolder folder, Opening opening = {},
            int64_t expected_length = 0);

// An engine for many sequences, and its model. Whoever destroys the engine must call Leave() first,
// or wait for what is compiled.
struct LoadedEngine {
  std::unique_ptr<engine::Engine> engine;
  // Model that the engine runs: another one after a device was lost. To be read only as long as the
  // engine does nothing.
  std::shared_ptr<std::shared_ptr<engine::Model>> model;
  double seconds = 0;  // loading took
};
// Does for an engine what Load() does for one sequence. `options` gets the model and returns the
// engine's options, but for those of runs, which come from `args`. Opens the model again if its
// device is lost.
LoadedEngine LoadEngine(const ModelArgs& args, model::ModelFolder folder, Opening opening,
                        const std::function<engine::EngineOptions(const engine::Model&)>& options);

// Wait for an answer's first text. After a quarter of a second tells on a terminal how long it
// takes, and that a software GPU compiles shaders when they run for the first time.
class WaitingNotice {
 public:
  // With OnSignal::kExit, a signal ends the process within 0.3 s.
  explicit WaitingNotice(const gpu::Device& device, OnSignal on_signal = OnSignal::kGoOn);

  // Removes the notice from the terminal. Call it when the answer begins; further calls do nothing.
  void End() { status_.End(); }

 private:
  StatusLine status_;
};

}  // namespace sinter::cli

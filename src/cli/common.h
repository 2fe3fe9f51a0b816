// Parts that the subcommands share: options, output, progress, interruption.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/bytes_text.h"
#include "cli/status.h"
#include "engine/model.h"
#include "engine/open.h"
#include "engine/sequence.h"
#include "engine/tuner.h"
#include "generate/generator.h"
#include "gpu/device.h"

namespace sinter::cli {

// Each function adds one subcommand and its options to the parser. The subcommand runs in its
// callback, when the command line names it.
void AddRun(CLI::App& app);
void AddChat(CLI::App& app);
void AddInspect(CLI::App& app);
void AddDevices(CLI::App& app);
void AddVerify(CLI::App& app);
void AddConvert(CLI::App& app);
void AddBench(CLI::App& app);
void AddTune(CLI::App& app);
void AddTokenize(CLI::App& app);
void AddList(CLI::App& app);
void AddRemove(CLI::App& app);
// Adds help, completion and man, which describe the other commands: they come last.
void AddManual(CLI::App& app);

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

// Returns the plans that --plan asks for on this device.
engine::Plans PlansFor(const ModelArgs& args, const gpu::Device& device);
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

// Opens /dev/null for each of standard input, output and error that is closed, so that no other
// file gets its number.
void ReserveStandardFiles();

// Set by the first Ctrl-C (SIGINT), SIGTERM or SIGHUP. The second one ends the process at once.
extern std::atomic<bool> interrupted;
// Installs the handler of these signals, or installs it again after a Ctrl-C that only stopped an
// answer; `interrupted` then stays set if one of the others came. Writing to a closed pipe becomes
// an error instead of a signal.
void CatchSignals();
// Function that the handler calls before anything else with the signal's number, or null. It may
// only do what a signal handler may. It returns whether the handler stays: otherwise the next
// signal of this kind ends the process.
extern std::atomic<bool (*)(int)> signal_hook;
// Returns a descriptor that is readable once the handler has run, until the next CatchSignals().
int WakeupFd();
// Throws Error if `interrupted`.
void CheckInterrupted();
// Returns the exit code that tells the signal: 130, 143 or 129.
int InterruptedCode();

// Exception thrown when nobody reads standard output any more, as in `sinter ... | head -1`. The
// program then ends without a message.
struct OutputClosed : std::exception {};

// Exception thrown when errors were printed already. The program then ends with kFailure.
struct ReportedError : std::exception {};

// Writes to standard output and flushes it. Throws OutputClosed, or Error if the text cannot be
// written.
void Out(std::string_view text);
// Writes JSON and a newline as Out does. Ill-formed UTF-8 becomes replacement characters. `indent`
// -1 writes one line.
void OutJson(const nlohmann::json& json, int indent = 2);
// Writes to standard error and ignores failures.
void Err(std::string_view text) noexcept;

// Throws Error that names the first byte that is wrong if the text is not UTF-8. `what` is where it
// came from.
void CheckUtf8(std::string_view text, std::string_view what);

// Waits for standard input and returns whether there is any.
bool HasStandardInput();
// Returns all of standard input. Throws Error if `interrupted`.
std::string ReadStandardInput();
// Returns the next line of standard input without its end, LF or CR LF; nullopt at the input's end
// and when `interrupted`.
std::optional<std::string> ReadLine();

// Exit codes.
inline constexpr int kFailure = 1;
inline constexpr int kUsage = 2;
inline constexpr int kOutputClosed = 141;  // 128 + SIGPIPE

}  // namespace sinter::cli

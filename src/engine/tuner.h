// Finds the quickest plans of a model's programs by measuring: at once, or bit by bit while the GPU
// has nothing else to do.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/model.h"
#include "engine/step_runner.h"
#include "run/measurement.h"

namespace sinter::engine {

// By which the time of a run of model::kLoadedChunk rows is known to the plan book.
inline constexpr char kLoadedChunkRun[] = "512 rows";

// Measures the programs of a model in turn: of one token without and with chains, and which of the
// two is quicker; of a chunk of prompt, and of longer chunks where the adapter is quick enough.
// What is found goes to the plan book, and programs are made anew with it.
//
// Runs on rows of a sequence's KV cache behind those in use, and on buffers of its own, so the
// sequence is none the worse for it.
class Tuner {
 public:
  Tuner(std::shared_ptr<Model> model, std::shared_ptr<KvCache> cache);
  ~Tuner();

  // What is left to do.
  enum class State { kCompile, kMeasure, kDone };
  State state() const { return state_; }

  // Compiles what the next measurement needs, without running anything on the GPU. In state
  // kCompile.
  void Compile();
  // Measures until `budget` is spent or `stop` returns true, a few milliseconds late at most. In
  // state kMeasure. Gives false where there is no room behind the sequence at the moment.
  bool Measure(std::chrono::microseconds budget, const std::function<bool()>& stop);

  // Compiles and measures everything; `progress` gets the share done, 0 to 1, and may throw to
  // stop. What was found until then is kept.
  void RunAll(const std::function<void(double share)>& progress = {});
  // Programs that were measured, and all of them.
  size_t stages_done() const { return next_; }
  size_t stages() const { return stages_.size(); }

  // A program to measure.
  struct Stage {
    StepKey key;
    bool compares_chain = false;  // with the program without chains
    bool times_run = false;
  };
  // The programs that are measured whatever the adapter.
  static std::vector<Stage> FirstStages(const Model& model, int64_t capacity);

 private:
  // The share of all that is done, 0 to 1.
  double Share() const;
  // The stages behind the one of a chunk, once its time is known.
  void AddLongerChunks();
  std::shared_ptr<run::Program> Bind(const StepKey& key);
  bool PlaceInputs(const StepKey& key);
  void FinishMeasurement();

  std::shared_ptr<Model> model_;
  std::shared_ptr<KvCache> cache_;
  std::vector<bool> branches_;
  StepRunner runner_;
  std::vector<Stage> stages_;
  size_t next_ = 0;
  bool compares_ = false;  // of the stage under way, the second part
  std::optional<run::Measurement> measurement_;
  size_t first_samples_ = 0;  // when the measurement began
  bool measured_ = false;     // since the stage began
  std::chrono::steady_clock::time_point last_sample_{};
  State state_ = State::kCompile;
};

// Compares the program of a token with chains to the one without, if both are made: some 20 ms in
// the middle of a generation. The plan book keeps the answer.
void TryChain(Model& model, const std::shared_ptr<KvCache>& cache,
              const std::vector<bool>& branches);

// Counts what a tuner of this model and cache length would measure at first, and what of it is
// known. Puts nothing on the GPU.
ProgramSet::KindCount CountTunedKinds(Model& model, int64_t capacity);

// A thread that tunes while nothing else runs: in slices of at most kSlice that end as soon as work
// waits. What was found is kept as it comes.
class IdleTuner {
 public:
  IdleTuner(std::shared_ptr<Model> model, std::shared_ptr<KvCache> cache);
  // Ends after the sample or the compilation under way.
  ~IdleTuner();
  IdleTuner(const IdleTuner&) = delete;
  IdleTuner& operator=(const IdleTuner&) = delete;

  bool done() const { return done_; }

  static constexpr std::chrono::milliseconds kSlice{50};
  // So long nothing ran before a slice begins.
  static constexpr std::chrono::milliseconds kQuiet{300};

 private:
  void Loop();

  std::shared_ptr<Model> model_;
  Tuner tuner_;
  std::atomic<bool> closing_ = false, done_ = false;
  std::mutex mutex_;
  std::condition_variable closed_;
  std::thread thread_;
};

}  // namespace sinter::engine

// Finds the quickest plans of a model's programs by measuring, either at once or in slices while
// the GPU is otherwise idle.
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

// Name in the plan book for the time of a run of model::kLoadedChunk rows.
inline constexpr char kLoadedChunkRun[] = "512 rows";

// Measures the programs of a model in turn: those of one token without and with chains, and which
// of the two is quicker; that of a prompt chunk, and those of longer chunks if the adapter is quick
// enough. Stores the results in the plan book and compiles the programs again with them.
//
// Measuring uses rows of a sequence's KV cache after those in use, and buffers of its own, so the
// sequence stays intact.
class Tuner {
 public:
  // `chunk` is the most tokens that a sequence with this cache runs at once.
  Tuner(std::shared_ptr<Model> model, std::shared_ptr<KvCache> cache, int64_t chunk);
  ~Tuner();

  // Next thing to do.
  enum class State { kCompile, kMeasure, kDone };
  State state() const { return state_; }

  // Compiles the shaders of the next measurement without running anything on the GPU. Call it in
  // state kCompile.
  void Compile();
  // Measures until `budget` is spent or `stop` returns true, and overruns by a few milliseconds at
  // most. Call it in state kMeasure. Returns false if the cache has no room after the sequence at
  // the moment.
  bool Measure(std::chrono::microseconds budget, const std::function<bool()>& stop);

  // Compiles and measures everything. `progress` gets the fraction done, 0 to 1, and may throw to
  // stop. Results up to then are kept.
  void RunAll(const std::function<void(double share)>& progress = {});
  // Return the number of measured programs, and of all programs to measure.
  size_t stages_done() const { return next_; }
  size_t stages() const { return stages_.size(); }

  // A program to measure.
  struct Stage {
    StepKey key;
    bool compares_chain = false;  // whether to compare with the program without chains
    bool times_run = false;
  };
  // Returns the programs that are measured on any adapter: of a token, and of a run of `chunk` rows
  // of a prompt or kLoadedChunk if that is less.
  static std::vector<Stage> FirstStages(const Model& model, int64_t capacity, int64_t chunk);

 private:
  // Returns the fraction done of all stages, 0 to 1.
  double Share() const;
  // Adds the stages of longer chunks once the time of a chunk's run is known.
  void AddLongerChunks();
  void FinishMeasurement();

  std::shared_ptr<Model> model_;
  std::shared_ptr<KvCache> cache_;
  std::vector<bool> branches_;
  StepRunner runner_;
  std::vector<Stage> stages_;
  size_t next_ = 0;
  std::vector<int64_t> longer_chunks_;  // rows of the stages that AddLongerChunks may add
  bool compares_ = false;  // whether the current stage is in its second part, the comparison
  std::optional<run::Measurement> measurement_;
  size_t first_samples_ = 0;  // samples_left() when the measurement began
  bool measured_ = false;     // whether anything was measured since the stage began
  std::chrono::steady_clock::time_point last_sample_{};
  State state_ = State::kCompile;
};

// Compares the programs of a token with and without chains, if both are compiled. Takes some 20 ms
// in the middle of a generation. Stores the result in the plan book.
void TryChain(Model& model, const std::shared_ptr<KvCache>& cache,
              const std::vector<bool>& branches, int64_t page_entries = 0);

// Counts the kinds that a tuner for sequences of `max_length` tokens would measure at first, and
// those already known. Uses no GPU memory.
ProgramSet::KindCount CountTunedKinds(Model& model, int64_t max_length);

// A thread that tunes while nothing else runs, in slices of at most kSlice that end as soon as work
// waits. Each result is stored as soon as it is found.
class IdleTuner {
 public:
  // The arguments are Tuner's.
  IdleTuner(std::shared_ptr<Model> model, std::shared_ptr<KvCache> cache, int64_t chunk);
  // Ends the thread after the sample or compilation in progress.
  ~IdleTuner();
  IdleTuner(const IdleTuner&) = delete;
  IdleTuner& operator=(const IdleTuner&) = delete;

  bool done() const { return done_; }

  static constexpr std::chrono::milliseconds kSlice{50};
  // Idle time that must pass before a slice begins.
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

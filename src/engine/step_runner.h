// Runs a model's programs on the memory of one sequence.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/program_set.h"
#include "gpu/device.h"
#include "kernels/sample/step_state.h"
#include "run/program.h"

namespace sinter::engine {

class Model;

// The memory that the programs of a sequence read and write beside the KV cache.
struct StepBuffers {
  // `logits_rows` rows of logits are kept.
  StepBuffers(const Model& model, int64_t capacity, int64_t logits_rows);

  gpu::Buffer state;     // kernels::StepState
  gpu::Buffer sampling;  // kernels::SamplingOptions
  gpu::Buffer seen;      // a bit a token of the vocabulary
  gpu::Buffer ring;      // tokens that were generated, i32 [capacity]
  gpu::Buffer logits;
  gpu::Buffer attention_mask, total_length, last_row, last_position;
  // Of the program of one token.
  gpu::Buffer input_ids, position_ids;
  gpu::Buffer choice_scratch;
};

// A program bound to a sequence, with the dispatch before it that derives its inputs from
// StepState.
struct StepProgram {
  std::shared_ptr<const CompiledStep> step;
  std::shared_ptr<run::Program> program;
  gpu::CommandList inputs;
  gpu::CommandList captured;  // inputs, then the program
  gpu::Buffer input_ids;
};

class StepRunner {
 public:
  StepRunner(Model& model, std::shared_ptr<KvCache> cache, int64_t logits_rows,
             const run::RunOptions& options = {});

  gpu::Device& device() const { return *device_; }
  const StepBuffers& buffers() const { return buffers_; }
  const std::shared_ptr<KvCache>& cache() const { return cache_; }
  const run::RunOptions& options() const { return options_; }
  int64_t logits_rows() const { return logits_rows_; }

  // Returns the program bound to this memory, bound once.
  StepProgram& Bind(const std::shared_ptr<const CompiledStep>& step);

  // Sets the state before a run: `past` tokens in the cache, `total` with the run's own, the row of
  // the logits to choose from, the index of the next generated token, the seed.
  void UploadState(int64_t past, int64_t total, uint32_t last_row, uint32_t position = 0,
                   uint32_t seed = 0);
  // Queues a program for `rows` tokens behind the `past` ones in the cache. `inputs_made`: the
  // choice of the token has made the program's inputs.
  void Run(const StepProgram& program, int64_t past, int64_t rows, bool inputs_made = false);
  // Queues a list that has a program's dispatches from the one at `first` on; while profiling waits
  // and notes their times. `program`: null where the list has none.
  void Submit(const gpu::CommandList& list, const StepProgram* program, size_t first, int64_t past,
              int64_t rows);

  // Where dispatches' times go, run by run, while it is set.
  void set_profile(std::vector<run::DispatchTime>* times) { profile_ = times; }

 private:
  Model& model_;
  std::shared_ptr<gpu::Device> device_;
  std::shared_ptr<KvCache> cache_;
  const run::RunOptions options_;
  const int64_t logits_rows_;
  StepBuffers buffers_;
  std::map<StepKey, StepProgram> bound_;
  std::vector<run::DispatchTime>* profile_ = nullptr;
};

// Returns the part of a dispatch's work that is left where `past` tokens are in a cache of
// `capacity` rows, and `rows` more come with the run.
compile::Work AtLength(compile::Work work, int64_t past, int64_t rows, int64_t capacity);

}  // namespace sinter::engine

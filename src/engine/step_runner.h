// Runs a model's programs on the memory of one sequence, or of a batch of sequences.
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

// Sizes of the memory besides the KV cache.
struct StepMemory {
  int64_t ring = 1;         // generated tokens that are kept for each sequence
  int64_t logits_rows = 1;  // rows of logits for each sequence
  int64_t batch = 1;        // sequences
  // Entries of each sequence's page table, if the KV cache is a pool of pages; otherwise 0.
  int64_t page_entries = 0;
};

// Memory of one or more sequences that their programs read and write besides the KV cache. Every
// buffer has an element, or a row, for each sequence.
struct StepBuffers {
  // Allocates the buffers for a KV cache of `capacity` rows. They hold zeros, except the logits and
  // the ring.
  StepBuffers(const Model& model, int64_t capacity, const StepMemory& memory);

  gpu::Buffer state;     // kernels::StepState
  gpu::Buffer sampling;  // kernels::SamplingOptions
  gpu::Buffer seen;      // one bit for each token of the vocabulary
  gpu::Buffer ring;      // generated tokens, i32 [ring, batch]
  gpu::Buffer logits;
  gpu::Buffer attention_mask, total_length, last_row, last_position, past_length;
  // Inputs of the program of one token.
  gpu::Buffer input_ids, position_ids;
  gpu::Buffer page_table;  // pages of the KV cache, i32 [batch, page_entries]; absent without pages
  gpu::Buffer choice_scratch;

  // Only after AddAdjustments: kernels::LogitAdjustments, a bit for each token that may be chosen,
  // how often each token was generated, and the adjusted logits in f32.
  gpu::Buffer adjustments, allowed, counts, adjusted;
  // Only after AddLogProbs: kernels::TokenLogProb [batch, 1 + kMaxTopLogProbs].
  gpu::Buffer log_probs, log_probs_scratch;

  // Allocate these buffers, unless they are there.
  void AddAdjustments(gpu::Device& device, int64_t vocab, int64_t batch);
  void AddLogProbs(gpu::Device& device, int64_t vocab, int64_t batch);
};

// Returns the contents of a row of StepBuffers::seen after these tokens.
std::vector<uint32_t> SeenBits(int64_t vocab, std::span<const int32_t> tokens);

// A program bound to a sequence, preceded by the dispatch that derives the program's inputs from
// StepState.
struct StepProgram {
  std::shared_ptr<const CompiledStep> step;
  std::shared_ptr<run::Program> program;
  gpu::CommandList inputs;
  gpu::CommandList captured;  // inputs followed by the program
  gpu::Buffer input_ids;
};

class StepRunner {
 public:
  StepRunner(Model& model, std::shared_ptr<KvCache> cache, const StepMemory& memory,
             const run::RunOptions& options = {});

  gpu::Device& device() const { return *device_; }
  const StepBuffers& buffers() const { return buffers_; }
  StepBuffers& buffers() { return buffers_; }
  const std::shared_ptr<KvCache>& cache() const { return cache_; }
  const run::RunOptions& options() const { return options_; }
  int64_t logits_rows() const { return memory_.logits_rows; }
  const StepMemory& memory() const { return memory_; }

  // Returns the program bound to this memory. The first call binds it. A program of fewer sequences
  // than the memory has uses the first ones.
  StepProgram& Bind(const std::shared_ptr<const CompiledStep>& step);
  // Drops a bound program.
  void Forget(const StepKey& key) { bound_.erase(key); }

  // Sets the tokens of a run of a prompt. Rows after them repeat the last one.
  void UploadTokens(const StepProgram& program, std::span<const int32_t> tokens);
  // Sets the state of the first sequence before a run: `past` tokens in the cache, `total` tokens
  // including the run's own, the row of the logits to choose from, the index of the next generated
  // token, and the seed.
  void UploadState(int64_t past, int64_t total, uint32_t last_row, uint32_t position = 0,
                   uint32_t seed = 0);
  // Queues a program for `rows` tokens after the `past` ones in the cache. `inputs_made` says that
  // the choice of the token has already computed the program's inputs.
  void Run(const StepProgram& program, int64_t past, int64_t rows, bool inputs_made = false);
  // Queues a list whose dispatches from index `first` on are those of `program`. While profiling,
  // waits and records the dispatches' times. `program` is null if the list contains none.
  void Submit(const gpu::CommandList& list, const StepProgram* program, size_t first, int64_t past,
              int64_t rows);

  // Waits, and throws the errors that the runs left behind: Program::CheckProgress and CheckRange.
  void CheckRuns() const;

  // Sets the vector that collects the dispatches' times of all runs until it is set to null.
  void set_profile(std::vector<run::DispatchTime>* times) { profile_ = times; }

 private:
  Model& model_;
  std::shared_ptr<gpu::Device> device_;
  std::shared_ptr<KvCache> cache_;
  const run::RunOptions options_;
  const StepMemory memory_;
  StepBuffers buffers_;
  std::map<StepKey, StepProgram> bound_;
  std::vector<run::DispatchTime>* profile_ = nullptr;
};

// Returns the part of a dispatch's work that remains if a cache of `capacity` rows holds `past`
// tokens and the run adds `rows` more.
compile::Work AtLength(compile::Work work, int64_t past, int64_t rows, int64_t capacity);

}  // namespace sinter::engine

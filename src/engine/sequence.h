// One sequence of tokens on a model: its KV cache, its tokens, prompts and generation.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "compile/work.h"
#include "engine/decode_loop.h"
#include "engine/kv_cache.h"
#include "engine/model.h"
#include "engine/step_runner.h"
#include "engine/work_gate.h"
#include "gpu/device.h"
#include "model/chunking.h"
#include "run/program.h"

namespace sinter::engine {

struct SequenceOptions {
  // Number of tokens that the KV cache holds, prompt and generated ones; 0 for search.max_length of
  // the model's config. At most the context length.
  int64_t max_length = 0;
  // Largest number of prompt tokens in one run. 0 for 512, or for 1,024 or 2,048 if the adapter is
  // quick enough for such runs to stay short (chunking.h). Ignored if each prompt must be one run
  // (model::RunForm::exact).
  int64_t chunk = 0;
  run::RunOptions run;
};

// A sequence may be used by one thread at a time. Several sequences, also in several threads, share
// the programs of their model.
class Sequence {
 public:
  // Allocates the KV cache and compiles the program of one token. Throws Error if the cache does
  // not fit the adapter.
  explicit Sequence(std::shared_ptr<Model> model, const SequenceOptions& options = {});
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  const model::GenaiConfig& config() const { return model_->config(); }
  const std::shared_ptr<Model>& model() const { return model_; }
  int64_t max_length() const { return max_length_; }
  // Returns the largest number of prompt tokens in one run: the number asked for, or the one chosen
  // so far. At most max_length(), which it is if each prompt must be one run (RunForm::exact).
  int64_t chunk() const { return chunks_.back(); }
  // Returns the number of tokens in the sequence, including one that has not run yet.
  int64_t length() const { return static_cast<int64_t>(tokens_.size()) + (has_pending_ ? 1 : 0); }
  const gpu::Device& device() const { return *model_->device(); }
  const std::shared_ptr<KvCache>& cache() const { return cache_; }
  // Returns the bytes of the KV cache.
  uint64_t cache_bytes() const { return cache_->bytes(); }
  // Waits until all queued work is done. Throws the device's pending errors.
  void Wait() { model_->device()->Wait(); }

  // Returns the number of dispatches of a step that chooses greedily, including those that choose
  // the token.
  size_t GreedyDispatches();
  // Returns the work of one decode run, summed over its dispatches, if the cache then holds `total`
  // tokens including the run's own.
  compile::Work DecodeWork(int64_t total);

  // Runs `tokens` after the tokens in the sequence. Throws Error if there is no token to run, if an
  // id is outside the vocabulary, or if max_length() would be exceeded.
  void Append(std::span<const int32_t> tokens);
  // Does the same with a timestamp around every dispatch, and returns the times of all runs in
  // order. Also throws Error if the adapter has no timestamps.
  std::vector<run::DispatchTime> ProfileAppend(std::span<const int32_t> tokens);
  // Returns the logits after the last token, [vocab_size]. Throws Error if no token can be chosen
  // from them, because one is NaN or +inf or all are -inf.
  std::vector<float> Logits();
  // Drops all tokens from index `length` on.
  void Rewind(int64_t length);

  // Begins a generation without the CPU in the loop. Each Step() queues one more token and returns
  // at once; Token(i) waits for token i. Several steps may be queued before the first token is
  // read.
  void BeginGeneration(const TokenChoice& choice);
  void Step();
  // Does the same with a timestamp around every dispatch, like ProfileAppend.
  std::vector<run::DispatchTime> ProfileStep();
  // Returns the number of steps queued since BeginGeneration.
  int64_t steps() const { return loop_.steps(); }
  // Waits for the token of a step and returns it. Throws Error like Logits().
  int32_t Token(int64_t step) { return loop_.Token(step); }
  // Ends the generation. The first `kept` of the queued tokens belong to the sequence.
  void EndGeneration(int64_t kept);
  // Ends the generation after an error, in any state of the device. Restores the sequence as it was
  // before BeginGeneration.
  void AbandonGeneration() noexcept;

 private:
  StepKey KeyOf(int64_t rows) const { return {rows, cache_->capacity(), branches_, false}; }
  StepProgram& ProgramFor(int64_t rows);
  // Returns the current program of one token; switches to a quicker one if that is compiled.
  StepProgram& DecodeProgram();
  // Queues the background compilation of the programs that later prompts and generation want, on a
  // GPU with room for them.
  void PrepareInBackground();
  // Sets chunks_ if the user asked for no chunk, by the time of a run that the plan book holds or
  // that was measured here.
  void ChooseChunk();
  // Returns the lengths of the runs for `count` tokens after those in the cache.
  std::vector<int64_t> PlanRuns(int64_t count);
  void RunTokens(std::span<const int32_t> tokens);
  void UpdateBranches(int64_t length);
  void KeepNone() noexcept;
  void SetTokens(std::vector<int32_t> tokens);

  std::shared_ptr<Model> model_;
  SequenceOptions options_;
  int64_t max_length_ = 0;
  std::shared_ptr<KvCache> cache_;
  std::vector<int64_t> chunks_;  // program lengths, ascending
  model::RunCosts run_costs_;
  bool one_row_of_logits_ = true;
  bool chunk_is_final_ = false;
  std::optional<StepKey> exact_;  // program of the last prompt, if each prompt must be one run
  // Program of kLoadedChunk rows, and the identity under which the plan book has the time of its
  // run.
  std::shared_ptr<const CompiledStep> loaded_chunk_;
  run::PlanIdentity loaded_chunk_run_;
  std::optional<double> loaded_chunk_microseconds_;  // least time of a run of kLoadedChunk rows
  StepRunner runner_;
  DecodeLoop loop_;

  std::vector<bool> branches_;
  int64_t branch_length_ = 1;  // a length at which branches_ are taken
  std::shared_ptr<const CompiledStep> decode_;
  uint64_t decode_version_ = 0;  // version of the program set when decode_ was fetched

  std::vector<int32_t> tokens_;  // tokens in the cache
  bool has_pending_ = false;     // whether the last token has not run yet
  int32_t pending_ = 0;
  uint32_t logits_row_ = 0;  // row of the logits after the last token
  bool logits_valid_ = false;
  // Set during a generation, which counts as work.
  std::optional<WorkGate::Scope> generating_;
};

}  // namespace sinter::engine

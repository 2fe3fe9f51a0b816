// One sequence of tokens on a model: its KV cache, the tokens in it, prompts and generation.
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
  // Tokens that the KV cache holds, prompt and generated ones; 0: search.max_length of the model's
  // config. At most the context length.
  int64_t max_length = 0;
  // Largest number of prompt tokens in one run. 0: 512, or 1,024 or 2,048 where the adapter is
  // quick enough for such runs to stay short (chunking.h).
  int64_t chunk = 0;
  run::RunOptions run;
};

// A sequence belongs to one thread at a time. Several sequences, also in several threads, share the
// programs of their model.
class Sequence {
 public:
  // Allocates the KV cache and makes the program of one token. Throws Error where the cache does
  // not fit the adapter.
  Sequence(std::shared_ptr<Model> model, const SequenceOptions& options = {});
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  const model::GenaiConfig& config() const { return model_->config(); }
  const std::shared_ptr<Model>& model() const { return model_; }
  int64_t max_length() const { return max_length_; }
  // Largest number of prompt tokens in one run, as far as that is known: what was asked for, or
  // chosen, and max_length() at most.
  int64_t chunk() const { return chunks_.back(); }
  // Tokens of the sequence, whether they have run yet or not.
  int64_t length() const { return static_cast<int64_t>(tokens_.size()) + (has_pending_ ? 1 : 0); }
  const gpu::Device& device() const { return *model_->device(); }
  const std::shared_ptr<KvCache>& cache() const { return cache_; }
  // Bytes of the KV cache.
  uint64_t cache_bytes() const { return cache_->bytes(); }
  // Waits until everything queued is done. Throws what the device met.
  void Wait() { model_->device()->Wait(); }

  // Number of dispatches of a step that chooses greedily, the choice of its token with them.
  size_t GreedyDispatches();
  // The sum over one decode run's dispatches where `total` tokens are in the cache, the run's own
  // with them.
  compile::Work DecodeWork(int64_t total);

  // Runs `tokens` behind what there is. Throws Error: no tokens, an id outside the vocabulary, past
  // max_length().
  void Append(std::span<const int32_t> tokens);
  // The same with a timestamp around every dispatch, run by run; gives all of them in order. Throws
  // Error, too, where the adapter has no timestamps.
  std::vector<run::DispatchTime> ProfileAppend(std::span<const int32_t> tokens);
  // The logits after the last token, [vocab_size].
  std::vector<float> Logits();
  // Forgets everything from the token at `length` on.
  void Rewind(int64_t length);

  // Generation without the CPU in the loop: each Step queues one more token and returns at once;
  // Token(i) waits for the i-th. Several steps may be queued before the first is read.
  void BeginGeneration(const TokenChoice& choice);
  void Step();
  // The same with a timestamp around every dispatch, as ProfileAppend.
  std::vector<run::DispatchTime> ProfileStep();
  // Steps queued since BeginGeneration.
  int64_t steps() const { return loop_.steps(); }
  int32_t Token(int64_t step) { return loop_.Token(step); }
  // Ends it: of the queued tokens the first `kept` belong to the sequence.
  void EndGeneration(int64_t kept);
  // Ends it after an error, whatever state the device is in; the sequence is as it was before
  // BeginGeneration.
  void AbandonGeneration() noexcept;

 private:
  StepKey KeyOf(int64_t rows) const { return {rows, cache_->capacity(), branches_, false}; }
  StepProgram& ProgramFor(int64_t rows);
  // The program of one token as it is now; takes a quicker one where that is made by then.
  StepProgram& DecodeProgram();
  // Asks for the programs that later prompts and generation want, where a GPU has room for that.
  void PrepareInBackground();
  // Sets chunks_ where nobody asked for a chunk: by the time that a run takes, as the plan book
  // knows it or as runs here took.
  void ChooseChunk();
  // The runs for `count` tokens behind what is in the cache.
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
  // The program of kLoadedChunk rows, and by what the plan book knows the time of its run.
  std::shared_ptr<const CompiledStep> loaded_chunk_;
  run::PlanIdentity loaded_chunk_run_;
  std::optional<double>
      loaded_chunk_microseconds_;  // the least that a run of kLoadedChunk rows took
  StepRunner runner_;
  DecodeLoop loop_;

  std::vector<bool> branches_;
  int64_t branch_length_ = 1;  // a length with these decisions
  std::shared_ptr<const CompiledStep> decode_;
  uint64_t decode_version_ = 0;  // of the program set, when decode_ was taken from it

  std::vector<int32_t> tokens_;  // in the cache
  bool has_pending_ = false;     // a token that belongs to the sequence and has not run yet
  int32_t pending_ = 0;
  uint32_t logits_row_ = 0;  // the row of the logits after the last token
  bool logits_valid_ = false;
  // Work under way: a generation.
  std::optional<WorkGate::Scope> generating_;
};

}  // namespace sinter::engine

// Runs an engine's sequences on a device: prompts one run at a time, decode steps side by side.
// Everything here goes with the device if that is lost.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/batch.h"
#include "engine/decode_loop.h"
#include "engine/kv_cache.h"
#include "engine/model.h"
#include "engine/request.h"
#include "gpu/device.h"
#include "model/chunking.h"
#include "run/program.h"

namespace sinter::engine {

struct ExecutorOptions {
  int64_t max_batch = 64;  // rows that decode side by side
  int64_t max_length = 1;  // tokens of a sequence
  int64_t kv_tokens = 1;   // tokens in the KV cache, in whole pages
  // Whether kv_tokens may become less where memory has no room. At least max_length stay.
  bool fewer_tokens = false;
  // Whether a row's results depend on that row alone (EngineOptions::deterministic).
  bool deterministic = false;
  run::RunOptions run;
};

// Tokens that the GPU has yet to choose.
struct Chosen {
  gpu::Readback tokens;     // i32 [rows]
  gpu::Readback log_probs;  // kernels::TokenLogProb [rows, 1 + top], if the form wants them
  uint32_t top = 0;
};

// Returns the key of the program of a step of `batch` sequences, in an engine whose sequences have
// up to `max_length` tokens and whose KV cache holds `kv_tokens`, whole pages.
StepKey DecodeKey(int64_t max_length, int64_t kv_tokens, std::vector<bool> branches, int64_t batch);

// The rows of the sequences whose Ifs take the same branches.
class BranchGroup {
 public:
  BranchGroup(std::vector<bool> branches, Model& model, const std::shared_ptr<KvCache>& cache,
              int64_t rows, int64_t page_entries, const run::RunOptions& options)
      : branches_(std::move(branches)),
        batch_(model, cache, rows, /*logits_rows=*/1, page_entries, options) {}

  const std::vector<bool>& branches() const { return branches_; }

 private:
  friend class Executor;
  std::vector<bool> branches_;
  Batch batch_;
  std::shared_ptr<const CompiledStep> one_row_;  // program of one row in use
  uint64_t one_row_version_ = 0;  // version of the program set when one_row_ was fetched
};

class Executor {
 public:
  // Allocates the KV cache and compiles the programs of decode steps. Throws Error if the adapter
  // has no room for them.
  Executor(std::shared_ptr<Model> model, const ExecutorOptions& options);

  Model& model() { return *model_; }
  // Returns the rows that decode side by side: fewer than asked for if memory has no room for more,
  // and 1 if the model's programs cannot run a batch.
  int64_t max_batch() const { return max_batch_; }
  // Returns the number of pages that sequences may use, 1 to pages().
  int64_t pages() const { return pages_; }
  // Returns whether a prompt must be one run (model::RunForm::exact).
  bool exact() const { return model_->run_form().exact; }

  // Returns a number for a prompt of `tokens` tokens. The keys of equal prefixes are equal if the
  // numbers are.
  uint64_t FamilyOf(const BranchGroup& group, int64_t tokens) const;
  // Returns the group of sequences of `length` tokens, which is made when it is first wanted.
  BranchGroup& GroupAt(int64_t length);

  // Queues one run of a prompt: tokens after the first `past` of `tokens`, which take place in
  // `pages`. Returns how many, at most `most` unless the prompt must be one run.
  int64_t RunPrompt(BranchGroup& group, std::span<const int32_t> tokens, int64_t past,
                    std::span<const int32_t> pages, int64_t most);
  // Queues the choice of the token after a prompt's last run, and puts the sequence of `tokens`
  // into a row of the group. `generated` of the tokens were chosen before, not given.
  // If the request masks tokens, `allowed` has a bit for each token.
  Chosen Join(BranchGroup& group, int64_t row, std::span<const int32_t> tokens, int64_t generated,
              const Request& request, std::span<const uint32_t> allowed);
  // Queues a step of the group's first `rows` rows, the longest of which then has `length` tokens
  // in the cache. The form must have what each row's request needs.
  Chosen Step(BranchGroup& group, int64_t rows, const ChoiceForm& form, int64_t length);
  // Sets which tokens a row may choose in the next step: a bit for each.
  void SetAllowed(BranchGroup& group, int64_t row, std::span<const uint32_t> allowed) {
    group.batch_.SetAllowed(row, allowed);
  }
  // Empties a row. Its sequence's pages may have another owner afterwards.
  void Leave(BranchGroup& group, int64_t row) { group.batch_.ClearRows(row, row + 1); }
  void Move(BranchGroup& group, int64_t from, int64_t to) { group.batch_.MoveRow(from, to); }
  // Returns the number of rows that a step of `rows` rows computes.
  int64_t PaddedRows(int64_t rows) const;

  // Waits, and throws the errors that runs left behind (StepRunner::CheckRuns).
  void CheckRuns();

 private:
  StepKey KeyOf(const BranchGroup& group, int64_t rows, int64_t batch) const {
    return {rows, cache_->capacity(), group.branches_, false, batch, page_entries_};
  }
  // Returns the lengths of the programs for a prompt of `tokens` tokens.
  std::span<const int64_t> LengthsFor(int64_t tokens) const;
  static Chosen Read(Batch& batch, int64_t rows, const ChoiceForm& form);
  // Returns those of the lengths that a run of at most `most` tokens may have at this time.
  std::vector<int64_t> LengthsNow(const BranchGroup& group, std::span<const int64_t> lengths,
                                  int64_t most) const;
  // Compiles programs longer than model::kLoadedChunk in the background if a run of that many rows,
  // which took so long, says that they are short enough.
  void AddLongerChunks(const BranchGroup& group, double microseconds, int64_t length);
  void MakeCache();
  // Finds max_batch_ by compiling the largest program that the adapter has room for.
  void CompileSteps();
  StepProgram& OneRowProgram(BranchGroup& group, StepRunner& runner, int64_t length);

  std::shared_ptr<Model> model_;
  ExecutorOptions options_;
  int64_t pages_ = 0, page_entries_ = 0, max_batch_ = 1;
  std::shared_ptr<KvCache> cache_;
  std::vector<int64_t> chunks_;  // lengths of prompt programs, ascending
  bool chunk_is_final_ = false;  // whether chunks_ get no more lengths
  model::RunCosts run_costs_;
  std::optional<Batch> prompt_;   // the prompt that runs
  uint32_t logits_row_ = 0;       // row of the logits after the prompt's last token
  std::optional<StepKey> exact_;  // program of the last prompt, if each prompt must be one run
  std::map<std::vector<bool>, std::unique_ptr<BranchGroup>> groups_;
};

}  // namespace sinter::engine

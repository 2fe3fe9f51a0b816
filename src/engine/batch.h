// Sequences that decode side by side: one row each of every buffer that their programs read and
// write.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/model.h"
#include "engine/step_runner.h"
#include "engine/token_chooser.h"
#include "gpu/device.h"
#include "kernels/adjust_logits/adjust_logits.h"
#include "run/program.h"

namespace sinter::engine {

// What a row holds when its sequence begins to choose tokens.
struct RowStart {
  kernels::StepState state = {};
  kernels::SamplingOptions options;
  std::span<const int32_t> tokens;     // of the sequence so far, for the repetition penalty
  std::span<const int32_t> generated;  // those of them that were chosen, not given
  std::optional<kernels::LogitAdjustments> adjustments;
};

// Rows on the GPU. Everything is queued: a call takes effect after the work that was submitted
// before it. Rows that no sequence has are computed, too, and write to page 0.
class Batch {
 public:
  // Allocates `rows` rows, with `logits_rows` rows of logits each, over the pages of `cache`.
  Batch(Model& model, std::shared_ptr<KvCache> cache, int64_t rows, int64_t logits_rows,
        int64_t page_entries, const run::RunOptions& options);

  StepRunner& runner() { return runner_; }
  TokenChooser& chooser() { return chooser_; }
  int64_t page_entries() const { return runner_.memory().page_entries; }

  // Sets the pages of a row. Entries after `pages` become 0.
  void SetPages(int64_t row, std::span<const int32_t> pages);
  void SetStart(int64_t row, const RowStart& start);
  // Sets which tokens the row may choose next: a bit for each.
  void SetAllowed(int64_t row, std::span<const uint32_t> allowed);
  // Allocates what choices of the form need.
  void Prepare(const ChoiceForm& form);
  // Copies row `from` of another batch of the same model to row `to` of this one.
  void CopyRow(const Batch& other, int64_t from, int64_t to);
  // Moves the sequence of row `from` to row `to`, whose sequence is gone.
  void MoveRow(int64_t from, int64_t to);
  // Takes rows [begin, end) from their sequences.
  void ClearRows(int64_t begin, int64_t end);
  // Queues a copy of the tokens that the first `rows` rows chose last, and of their log
  // probabilities: kernels::TokenLogProb [rows, 1 + top].
  gpu::Readback ReadTokens(int64_t rows);
  gpu::Readback ReadLogProbs(int64_t rows, uint32_t top);

 private:
  // A buffer of which each row has `bytes` bytes.
  struct Column {
    gpu::Buffer StepBuffers::*buffer;
    uint64_t bytes;
  };

  Model& model_;
  StepRunner runner_;
  TokenChooser chooser_;
  std::vector<Column> columns_;
  gpu::Buffer moved_;  // a row on its way, since a copy cannot stay within one buffer
};

}  // namespace sinter::engine

#include "engine/batch.h"

#include <utility>

#include "base/check.h"
#include "kernels/log_probs/log_probs.h"

namespace sinter::engine {

Batch::Batch(Model& model, std::shared_ptr<KvCache> cache, int64_t rows, int64_t logits_rows,
             int64_t page_entries, const run::RunOptions& options)
    : model_(model),
      runner_(model, std::move(cache),
              {.logits_rows = logits_rows, .batch = rows, .page_entries = page_entries}, options),
      chooser_(model, runner_) {
  const auto vocab_words = static_cast<uint64_t>(model.config().vocab_size + 31) / 32;
  columns_ = {{&StepBuffers::state, sizeof(kernels::StepState)},
              {&StepBuffers::sampling, sizeof(kernels::SamplingOptions)},
              {&StepBuffers::seen, vocab_words * 4},
              {&StepBuffers::input_ids, 4},
              {&StepBuffers::position_ids, 4},
              {&StepBuffers::total_length, 4},
              {&StepBuffers::page_table, static_cast<uint64_t>(page_entries) * 4},
              {&StepBuffers::adjustments, sizeof(kernels::LogitAdjustments)},
              {&StepBuffers::allowed, vocab_words * 4},
              {&StepBuffers::counts, static_cast<uint64_t>(model.config().vocab_size) * 4}};
  uint64_t row_bytes = 0;
  for (const Column& column : columns_) row_bytes += column.bytes;
  moved_ = runner_.device().CreateBuffer(row_bytes, "moved row");
  ClearRows(0, rows);
}

void Batch::Prepare(const ChoiceForm& form) {
  StepBuffers& buffers = runner_.buffers();
  const int64_t vocab = model_.config().vocab_size, rows = runner_.memory().batch;
  if (form.adjusts) buffers.AddAdjustments(runner_.device(), vocab, rows);
  if (form.log_probs) buffers.AddLogProbs(runner_.device(), vocab, rows);
}

void Batch::SetAllowed(int64_t row, std::span<const uint32_t> allowed) {
  runner_.device().Upload(runner_.buffers().allowed,
                          static_cast<uint64_t>(row) * allowed.size_bytes(),
                          std::as_bytes(allowed));
}

void Batch::SetPages(int64_t row, std::span<const int32_t> pages) {
  SINTER_CHECK(static_cast<int64_t>(pages.size()) < page_entries(), "{} pages for {} entries",
               pages.size(), page_entries());
  std::vector<int32_t> table(pages.begin(), pages.end());
  table.resize(static_cast<size_t>(page_entries()));
  runner_.device().Upload(runner_.buffers().page_table,
                          static_cast<uint64_t>(row * page_entries()) * 4,
                          std::as_bytes(std::span(table)));
}

void Batch::SetStart(int64_t row, const RowStart& start) {
  gpu::Device& device = runner_.device();
  device.Upload(runner_.buffers().state, static_cast<uint64_t>(row) * sizeof(start.state),
                std::as_bytes(std::span(&start.state, 1)));
  device.Upload(runner_.buffers().sampling,
                static_cast<uint64_t>(row) * sizeof(kernels::SamplingOptions),
                std::as_bytes(std::span(&start.options, 1)));
  const std::vector<uint32_t> seen = SeenBits(model_.config().vocab_size, start.tokens);
  device.Upload(runner_.buffers().seen, static_cast<uint64_t>(row) * seen.size() * 4,
                std::as_bytes(std::span(seen)));
  if (!runner_.buffers().adjustments) return;
  // The row may hold adjustments of another sequence.
  const kernels::LogitAdjustments adjustments =
      start.adjustments.value_or(kernels::LogitAdjustments());
  const size_t bytes = offsetof(kernels::LogitAdjustments, biases) +
                       adjustments.bias_count * sizeof(kernels::LogitBias);
  device.Upload(runner_.buffers().adjustments, static_cast<uint64_t>(row) * sizeof(adjustments),
                std::as_bytes(std::span(&adjustments, 1)).first(bytes));
  if (adjustments.presence_penalty == 0 && adjustments.frequency_penalty == 0) return;
  // The kernel counts the last token itself.
  std::vector<uint32_t> counts(static_cast<size_t>(model_.config().vocab_size));
  if (!start.generated.empty()) {
    for (const int32_t token : start.generated.first(start.generated.size() - 1))
      ++counts[static_cast<size_t>(token)];
  }
  device.Upload(runner_.buffers().counts, static_cast<uint64_t>(row) * counts.size() * 4,
                std::as_bytes(std::span(counts)));
}

void Batch::CopyRow(const Batch& other, int64_t from, int64_t to) {
  gpu::CommandList copy(runner_.device());
  for (const Column& column : columns_) {
    const gpu::Buffer& source = other.runner_.buffers().*column.buffer;
    const gpu::Buffer& target = runner_.buffers().*column.buffer;
    if (!target) continue;
    const uint64_t offset = static_cast<uint64_t>(to) * column.bytes;
    if (source) {
      copy.Copy(source, static_cast<uint64_t>(from) * column.bytes, target, offset, column.bytes);
    } else {
      copy.Clear(target, offset, column.bytes);
    }
  }
  runner_.device().Submit(copy);
}

void Batch::MoveRow(int64_t from, int64_t to) {
  gpu::CommandList move(runner_.device());
  const auto copy_all = [&](bool leaves) {
    uint64_t offset = 0;
    for (const Column& column : columns_) {
      const gpu::Buffer& rows = runner_.buffers().*column.buffer;
      if (!rows) continue;
      if (leaves) {
        move.Copy(rows, static_cast<uint64_t>(from) * column.bytes, moved_, offset, column.bytes);
      } else {
        move.Copy(moved_, offset, rows, static_cast<uint64_t>(to) * column.bytes, column.bytes);
      }
      offset += column.bytes;
    }
  };
  copy_all(/*leaves=*/true);
  copy_all(/*leaves=*/false);
  runner_.device().Submit(move);
}

void Batch::ClearRows(int64_t begin, int64_t end) {
  if (begin >= end) return;
  gpu::CommandList clear(runner_.device());
  for (const Column& column : columns_) {
    if (!(runner_.buffers().*column.buffer)) continue;
    clear.Clear(runner_.buffers().*column.buffer, static_cast<uint64_t>(begin) * column.bytes,
                static_cast<uint64_t>(end - begin) * column.bytes);
  }
  runner_.device().Submit(clear);
  // Choices leave rows without a sequence as they are.
  std::vector<kernels::SamplingOptions> idle(static_cast<size_t>(end - begin));
  for (kernels::SamplingOptions& options : idle) options.idle = 1;
  runner_.device().Upload(runner_.buffers().sampling,
                          static_cast<uint64_t>(begin) * sizeof(kernels::SamplingOptions),
                          std::as_bytes(std::span(idle)));
}

gpu::Readback Batch::ReadLogProbs(int64_t rows, uint32_t top) {
  return runner_.device().DownloadAsync(
      runner_.buffers().log_probs, 0,
      static_cast<uint64_t>(rows) * (1 + top) * sizeof(kernels::TokenLogProb));
}

gpu::Readback Batch::ReadTokens(int64_t rows) {
  return runner_.device().DownloadAsync(runner_.buffers().ring, 0, static_cast<uint64_t>(rows) * 4);
}

}  // namespace sinter::engine

#include "engine/executor.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "engine/tuner.h"
#include "kernels/common/kv_pages.h"
#include "model/kv_cache.h"
#include "schedule/page_cache.h"

namespace sinter::engine {
namespace {

using kernels::kPageRows;
using schedule::PagesOf;
static_assert(schedule::kPageTokens == kPageRows);

// Rows of the cache are cleared anew after so many steps: those without a sequence count as one
// more token in each step, which their attention would read.
constexpr int64_t kStepsBetweenClears = 64;

}  // namespace

Executor::Executor(std::shared_ptr<Model> model, const ExecutorOptions& options)
    : model_(std::move(model)),
      options_(options),
      pages_(PagesOf(options.kv_tokens)),
      // The last entry is never a page of a sequence. Tables are read four entries at a time.
      page_entries_((PagesOf(options.max_length) + 1 + 3) / 4 * 4),
      chunks_(model_->run_form().exact
                  ? std::vector<int64_t>{options.max_length}
                  : model::ChunkLengths(std::min(model::kLoadedChunk, options.max_length))),
      run_costs_(model_->device()->adapter().software ? model::kSoftwareCosts : model::kGpuCosts) {
  MakeCache();
  prompt_.emplace(*model_, cache_, 1, model_->has_last_row() ? 1 : chunks_.back(), page_entries_,
                  options_.run);
  CompileSteps();
}

void Executor::MakeCache() {
  for (;;) {
    try {
      cache_ = std::make_shared<KvCache>(*model_, (pages_ + 1) * kPageRows);
      return;
    } catch (const gpu::ResourceError&) {
      const int64_t least = PagesOf(options_.max_length);
      if (!options_.fewer_tokens || pages_ <= least) throw;
      pages_ = std::max(pages_ / 2, least);
      model_->device()->Wait();
    }
  }
}

void Executor::CompileSteps() {
  const std::vector<bool> branches = model_->BranchDecisions(1);
  ProgramSet& programs = model_->programs();
  StepKey key = {1, cache_->capacity(), branches, false, 1, page_entries_};
  for (max_batch_ = 1; max_batch_ < options_.max_batch;) max_batch_ *= 2;
  for (; max_batch_ > 1; max_batch_ /= 2) {
    key.batch = max_batch_;
    try {
      programs.Get(key, 1);
      break;
    } catch (const gpu::ResourceError&) {
      // Fewer rows need less memory.
    } catch (const DeviceLostError&) {
      throw;
    } catch (const Error&) {
      // The model's programs take one sequence only.
      max_batch_ = 1;
      break;
    }
  }
  GroupAt(1);
  programs.GetDecode(cache_->capacity(), branches, 1, page_entries_);
  if (!model_->options().prepare_in_background || model_->device()->adapter().software) return;
  std::vector<StepKey> keys;
  key.batch = 1;
  for (const int64_t rows : chunks_) {
    key.rows = rows;
    if (!exact()) keys.push_back(key);
  }
  key.rows = 1;
  for (key.batch = 2; key.batch < max_batch_; key.batch *= 2) keys.push_back(key);
  if (programs.ChainIsUnknown(cache_->capacity(), branches, 1, page_entries_))
    keys.push_back({1, cache_->capacity(), branches, /*chain=*/true, 1, page_entries_});
  programs.Prepare(std::move(keys), 1);
}

int64_t Executor::PaddedRows(int64_t rows) const {
  if (options_.deterministic) return max_batch_;
  int64_t padded = 1;
  while (padded < rows) padded *= 2;
  return padded;
}

DecodeGroup& Executor::GroupAt(int64_t length) {
  std::vector<bool> branches = model_->BranchDecisions(length);
  std::unique_ptr<DecodeGroup>& group = groups_[branches];
  if (group == nullptr) {
    group = std::make_unique<DecodeGroup>(std::move(branches), *model_, cache_, max_batch_,
                                          page_entries_, options_.run);
  }
  return *group;
}

std::span<const int64_t> Executor::LengthsFor(int64_t tokens) const {
  if (!options_.deterministic) return chunks_;
  // All runs of the prompt have one length, whatever part of it is left to run: programs of other
  // lengths may add in another order.
  const auto it = std::ranges::find_if(chunks_, [&](int64_t rows) { return rows >= tokens; });
  return {it == chunks_.end() ? &chunks_.back() : &*it, 1};
}

uint64_t Executor::FamilyOf(const DecodeGroup& group, int64_t tokens) const {
  uint64_t family = options_.deterministic ? static_cast<uint64_t>(LengthsFor(tokens)[0]) : 1;
  for (const bool branch : group.branches_) family = 2 * family + (branch ? 1 : 0);
  return family;
}

StepProgram& Executor::OneRowProgram(DecodeGroup& group, StepRunner& runner, int64_t length) {
  ProgramSet& programs = model_->programs();
  const uint64_t version = programs.version();
  if (!group.one_row_ || version != group.one_row_version_) {
    if (group.one_row_ && !group.one_row_->key.chain &&
        programs.ChainIsUnknown(cache_->capacity(), group.branches_, length, page_entries_)) {
      TryChain(*model_, cache_, group.branches_, page_entries_);
    }
    group.one_row_ = programs.GetDecode(cache_->capacity(), group.branches_, length, page_entries_);
    group.one_row_version_ = version;
  }
  return runner.Bind(group.one_row_);
}

int64_t Executor::RunPrompt(DecodeGroup& group, std::span<const int32_t> tokens, int64_t past,
                            std::span<const int32_t> pages, int64_t most) {
  const auto left = static_cast<int64_t>(tokens.size()) - past;
  int64_t rows = left;
  if (!exact()) {
    std::span<const int64_t> lengths = LengthsFor(static_cast<int64_t>(tokens.size()));
    while (lengths.size() > 1 && lengths.back() > most) lengths = lengths.first(lengths.size() - 1);
    const int64_t room = page_entries_ * kPageRows - past;
    rows =
        options_.deterministic ? lengths[0] : model::CutPrompt(left, room, lengths, run_costs_)[0];
  }
  StepRunner& runner = prompt_->runner();
  ProgramSet& programs = model_->programs();
  const StepKey key = KeyOf(group, rows, 1);
  if (exact() && rows > 1) {
    // Each length of a prompt has a program, of which only the last one is kept.
    if (exact_ && *exact_ != key) {
      runner.Forget(*exact_);
      programs.Forget(*exact_);
    }
    exact_ = key;
  }
  StepProgram& program = rows == 1 ? OneRowProgram(group, runner, past + 1)
                                   : runner.Bind(programs.Get(key, past + left));
  const int64_t valid = std::min(left, rows);
  const auto run = tokens.subspan(static_cast<size_t>(past), static_cast<size_t>(valid));
  std::vector<int32_t> padded(run.begin(), run.end());
  padded.resize(static_cast<size_t>(rows), padded.back());
  gpu::Device& device = runner.device();
  device.Upload(program.input_ids, 0, std::as_bytes(std::span(padded)));
  prompt_->SetPages(0, pages);
  logits_row_ = static_cast<uint32_t>(valid - 1);
  runner.UploadState(past, past + valid, logits_row_);
  runner.Run(program, past, valid);
  return valid;
}

gpu::Readback Executor::Join(DecodeGroup& group, int64_t row, std::span<const int32_t> tokens,
                             int64_t generated, std::span<const int32_t> pages,
                             const TokenChoice& choice) {
  RowStart start;
  const auto length = static_cast<uint32_t>(tokens.size());
  start.state.past_length = start.state.total_length = length;
  start.state.last_row = logits_row_;
  start.state.position = static_cast<uint32_t>(generated);
  start.state.seed = choice.seed;
  start.options = choice.options;
  // Beside sequences that draw their tokens, a greedy one is drawn from the likeliest, too.
  if (choice.greedy) start.options.temperature = 0;
  start.tokens = tokens;
  prompt_->SetPages(0, pages);
  prompt_->SetStart(0, start);
  StepProgram& next = OneRowProgram(group, prompt_->runner(), static_cast<int64_t>(length));
  prompt_->runner().Submit(prompt_->chooser().Record(next, {.greedy = choice.greedy}).choose,
                           nullptr, 0, 0, 0);
  gpu::Readback token = prompt_->ReadTokens(1);
  group.batch_.CopyRow(*prompt_, 0, row);
  return token;
}

gpu::Readback Executor::Step(DecodeGroup& group, int64_t rows, bool greedy, int64_t length) {
  const int64_t padded = PaddedRows(rows);
  if (++group.steps_since_clear_ >= kStepsBetweenClears) {
    group.batch_.ClearRows(rows, padded);
    group.steps_since_clear_ = 0;
  }
  StepRunner& runner = group.batch_.runner();
  StepProgram& program = padded == 1
                             ? OneRowProgram(group, runner, length)
                             : runner.Bind(model_->programs().Get(KeyOf(group, 1, padded), length));
  const TokenChooser::Recorded& recorded = group.batch_.chooser().Record(program, {greedy});
  if (runner.options().capture) {
    runner.Submit(recorded.run_and_choose, &program, recorded.first, length - 1, 1);
  } else {
    runner.Run(program, length - 1, 1, group.batch_.chooser().MakesInputs(*program.step));
    runner.Submit(recorded.choose, nullptr, 0, 0, 0);
  }
  return group.batch_.ReadTokens(padded);
}

void Executor::CheckRuns() {
  prompt_->runner().CheckRuns();
  for (const auto& [branches, group] : groups_) group->batch_.runner().CheckRuns();
}

}  // namespace sinter::engine

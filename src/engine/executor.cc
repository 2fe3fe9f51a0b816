#include "engine/executor.h"

#include <algorithm>
#include <chrono>
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

// Returns the entries of a sequence's page table. The last one is never a page of a sequence.
// Tables are read four entries at a time.
int64_t PageEntries(int64_t max_length) { return (PagesOf(max_length) + 1 + 3) / 4 * 4; }
// Returns the rows of the cache in memory, with page 0.
int64_t CapacityOf(int64_t pages) { return (pages + 1) * kPageRows; }

}  // namespace

StepKey DecodeKey(int64_t max_length, int64_t kv_tokens, std::vector<bool> branches,
                  int64_t batch) {
  return {1,     CapacityOf(PagesOf(kv_tokens)), std::move(branches), false,
          batch, PageEntries(max_length)};
}

Executor::Executor(std::shared_ptr<Model> model, const ExecutorOptions& options)
    : model_(std::move(model)),
      options_(options),
      pages_(PagesOf(options.kv_tokens)),
      page_entries_(PageEntries(options.max_length)),
      chunks_(model_->run_form().exact
                  ? std::vector<int64_t>{options.max_length}
                  : model::ChunkLengths(std::min(model::kLoadedChunk, options.max_length))),
      run_costs_(model_->device()->adapter().software ? model::kSoftwareCosts : model::kGpuCosts) {
  // Logits of all rows would take much memory.
  chunk_is_final_ = options_.deterministic || exact() || !model_->has_last_row() ||
                    !model_->options().prepare_in_background ||
                    model_->device()->adapter().software;
  MakeCache();
  prompt_.emplace(*model_, cache_, 1, model_->has_last_row() ? 1 : chunks_.back(), page_entries_,
                  options_.run);
  CompileSteps();
}

void Executor::MakeCache() {
  for (;;) {
    try {
      cache_ = std::make_shared<KvCache>(*model_, CapacityOf(pages_));
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
  const Caps& caps = model_->device()->caps();
  const auto vocab = static_cast<uint32_t>(model_->config().vocab_size);
  const int64_t most = kernels::MaxChoiceBatch(caps, vocab);
  for (max_batch_ = 1; max_batch_ < options_.max_batch && 2 * max_batch_ <= most;) max_batch_ *= 2;
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

BranchGroup& Executor::GroupAt(int64_t length) {
  std::vector<bool> branches = model_->BranchDecisions(length);
  std::unique_ptr<BranchGroup>& group = groups_[branches];
  if (group == nullptr) {
    group = std::make_unique<BranchGroup>(std::move(branches), *model_, cache_, max_batch_,
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

uint64_t Executor::FamilyOf(const BranchGroup& group, int64_t tokens) const {
  uint64_t family = options_.deterministic ? static_cast<uint64_t>(LengthsFor(tokens)[0]) : 1;
  for (const bool branch : group.branches_) family = 2 * family + (branch ? 1 : 0);
  return family;
}

StepProgram& Executor::OneRowProgram(BranchGroup& group, StepRunner& runner, int64_t length) {
  ProgramSet& programs = model_->programs();
  // A chain, which may be quicker, adds in another order, and is there only after a while.
  if (options_.deterministic) return runner.Bind(programs.Get(KeyOf(group, 1, 1), length));
  const uint64_t version = programs.version();
  if (!group.one_row_ || version != group.one_row_version_) {
    const auto get = [&] {
      return programs.GetDecode(cache_->capacity(), group.branches_, length, page_entries_);
    };
    group.one_row_ = get();
    if (programs.ChainIsUnknown(cache_->capacity(), group.branches_, length, page_entries_)) {
      TryChain(*model_, cache_, group.branches_, page_entries_);
      group.one_row_ = get();
    }
    group.one_row_version_ = version;
  }
  return runner.Bind(group.one_row_);
}

int64_t Executor::RunPrompt(BranchGroup& group, std::span<const int32_t> tokens, int64_t past,
                            std::span<const int32_t> pages, int64_t most) {
  const auto left = static_cast<int64_t>(tokens.size()) - past;
  int64_t rows = left;
  if (!exact()) {
    const std::span<const int64_t> lengths = LengthsFor(static_cast<int64_t>(tokens.size()));
    const int64_t room = page_entries_ * kPageRows - past;
    rows = options_.deterministic
               ? lengths[0]
               : model::CutPrompt(left, room, LengthsNow(group, lengths, most), run_costs_)[0];
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
  runner.UploadTokens(program,
                      tokens.subspan(static_cast<size_t>(past), static_cast<size_t>(valid)));
  prompt_->SetPages(0, pages);
  logits_row_ = static_cast<uint32_t>(valid - 1);
  runner.UploadState(past, past + valid, logits_row_);
  // The first long run tells whether longer ones are short enough.
  gpu::Device& device = runner.device();
  const bool timed = !chunk_is_final_ && valid == model::kLoadedChunk;
  if (timed) device.Wait();
  const auto start = std::chrono::steady_clock::now();
  runner.Run(program, past, valid);
  if (timed) {
    device.Wait();
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    AddLongerChunks(group, time.count(), past + valid);
  }
  return valid;
}

std::vector<int64_t> Executor::LengthsNow(const BranchGroup& group,
                                          std::span<const int64_t> lengths, int64_t most) const {
  std::vector<int64_t> now;
  for (const int64_t rows : lengths) {
    // Longer programs are compiled in the background. So are the others, but they are worth waiting
    // for unless sequences decode meanwhile.
    const bool waits = rows <= model::kLoadedChunk && most == INT64_MAX;
    if (rows <= most && (waits || model_->programs().Peek(KeyOf(group, rows, 1))))
      now.push_back(rows);
  }
  if (now.empty()) now.push_back(lengths[0]);
  return now;
}

void Executor::AddLongerChunks(const BranchGroup& group, double microseconds, int64_t length) {
  chunk_is_final_ = true;
  std::vector<StepKey> longer;
  for (const int64_t rows : model::ChunkLengths(model::ChunkFor(microseconds))) {
    if (rows <= chunks_.back() || rows > options_.max_length) continue;
    chunks_.push_back(rows);
    longer.push_back(KeyOf(group, rows, 1));
  }
  model_->programs().Prepare(std::move(longer), length);
}

Chosen Executor::Join(BranchGroup& group, int64_t row, std::span<const int32_t> tokens,
                      int64_t generated, const Request& request,
                      std::span<const uint32_t> allowed) {
  const ChoiceForm form = FormOf(request);
  prompt_->Prepare(form);
  group.batch_.Prepare(form);
  const TokenChoice& choice = request.choice;
  RowStart start;
  const auto length = static_cast<uint32_t>(tokens.size());
  start.state.past_length = start.state.total_length = length;
  start.state.last_row = logits_row_;
  start.state.position = static_cast<uint32_t>(generated);
  start.state.seed = choice.seed;
  start.options = choice.options;
  // Beside sequences that draw their tokens, a greedy one is drawn from the likeliest, too.
  if (choice.greedy) start.options.temperature = 0;
  const auto end_tokens = std::min<size_t>(request.end_tokens.size(), kernels::kMaxEosTokens);
  start.options.eos_count = static_cast<uint32_t>(end_tokens);
  std::copy_n(request.end_tokens.begin(), end_tokens, start.options.eos_tokens);
  start.tokens = tokens;
  start.generated = tokens.last(static_cast<size_t>(generated));
  if (generated > 0) start.state.token = static_cast<uint32_t>(tokens.back());
  if (form.adjusts) start.adjustments = AdjustmentsOf(request);
  // The prompt's last run has set the pages.
  prompt_->SetStart(0, start);
  StepProgram& next = OneRowProgram(group, prompt_->runner(), static_cast<int64_t>(length));
  if (request.masks) prompt_->SetAllowed(0, allowed);
  prompt_->runner().Submit(prompt_->chooser().Record(next, form).choose, nullptr, 0, 0, 0);
  Chosen chosen = Read(*prompt_, 1, form);
  group.batch_.CopyRow(*prompt_, 0, row);
  return chosen;
}

Chosen Executor::Read(Batch& batch, int64_t rows, const ChoiceForm& form) {
  Chosen chosen = {batch.ReadTokens(rows), {}, form.log_probs.value_or(0)};
  if (form.log_probs) chosen.log_probs = batch.ReadLogProbs(rows, chosen.top);
  return chosen;
}

Chosen Executor::Step(BranchGroup& group, int64_t rows, const ChoiceForm& form, int64_t length) {
  int64_t padded = PaddedRows(rows);
  // The largest program is there from the start, the others after a while.
  while (padded > 1 && padded < max_batch_ && model_->options().prepare_in_background &&
         !model_->programs().Peek(KeyOf(group, 1, padded))) {
    padded *= 2;
  }
  StepRunner& runner = group.batch_.runner();
  StepProgram& program = padded == 1
                             ? OneRowProgram(group, runner, length)
                             : runner.Bind(model_->programs().Get(KeyOf(group, 1, padded), length));
  group.batch_.chooser().Step(program, form, length - 1);
  return Read(group.batch_, padded, form);
}

void Executor::CheckRuns() {
  prompt_->runner().CheckRuns();
  for (const auto& [branches, group] : groups_) group->batch_.runner().CheckRuns();
}

}  // namespace sinter::engine

#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/executor.h"
#include "engine/logits_fault.h"
#include "engine/open.h"
#include "kernels/adjust_logits/adjust_logits.h"
#include "kernels/common/kv_pages.h"
#include "kernels/log_probs/log_probs.h"
#include "schedule/page_cache.h"

namespace sinter::engine {
namespace {

using Clock = std::chrono::steady_clock;

// Steps that are queued before the tokens of the first are waited for.
constexpr size_t kStepsAhead = 2;
// Most tokens of a prompt that run between two steps of other sequences.
constexpr int64_t kMostBetweenSteps = 512;
constexpr int64_t kDefaultKvTokens = 65536;
// A device that is lost more often than this is not opened again.
constexpr int kMostLosses = 3;
constexpr std::chrono::minutes kLossesWithin{1};

}  // namespace

class Engine::Impl {
  // A request that the engine has taken.
  struct Live {
    Engine::RequestId id = 0;
    Request request;
    int64_t prompt_tokens = 0;
    // Tokens to generate at most, and why it ends there.
    int64_t most = 0;
    RequestEnd end_at_most = RequestEnd::kMaxTokens;
    std::vector<int32_t> tokens;  // the prompt, and the generated tokens that are known
    int64_t cached_tokens = 0;

    // A waiting request is in the scheduler only. A draining one waits for tokens that are queued.
    enum class Place { kWaiting, kPrompt, kDecode, kDraining };
    Place place = Place::kWaiting;
    std::optional<schedule::Lease> lease;
    BranchGroup* group = nullptr;
    int64_t run = 0;  // tokens whose keys and values are, or will be, in the cache
    int64_t row = 0;
    int64_t in_flight = 0;  // choices whose token is not known yet
    bool ended = false;

    int64_t generated() const { return static_cast<int64_t>(tokens.size()) - prompt_tokens; }
    // Returns the length of the sequence when what is queued is done.
    int64_t queued_length() const { return static_cast<int64_t>(tokens.size()) + in_flight; }
  };
  using LivePtr = std::shared_ptr<Live>;

  // Tokens that the GPU has yet to choose.
  struct InFlight {
    Chosen chosen;
    std::vector<LivePtr> rows;  // null where a row has no sequence
  };

 public:
  Impl(Opener open, const EngineOptions& options) : open_(std::move(open)), options_(options) {
    if (options_.max_batch < 1 || options_.max_batch > kMaxBatch) {
      throw Error("engine", "most sequences: got {}, want 1 to {}", options_.max_batch, kMaxBatch);
    }
    if (options_.queue < 1)
      throw Error("engine", "queue: got {} requests, want at least 1", options_.queue);
    Open(/*again=*/false);
    thread_ = std::thread([this] { Loop(); });
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  const EngineOptions& options() const { return options_; }
  const model::GenaiConfig& config() const { return config_; }

  RequestId Submit(Request request) {
    auto live = std::make_shared<Live>();
    CheckRequest(request, config_, options_.max_length);
    live->prompt_tokens = static_cast<int64_t>(request.prompt.size());
    live->most = options_.max_length - live->prompt_tokens;
    live->end_at_most = RequestEnd::kMaxLength;
    if (request.max_tokens > 0 && request.max_tokens <= live->most) {
      live->most = request.max_tokens;
      live->end_at_most = RequestEnd::kMaxTokens;
    }
    live->tokens = std::move(request.prompt);
    live->request = std::move(request);
    {
      std::lock_guard lock(mutex_);
      if (failure_) std::rethrow_exception(failure_);
      if (closing_) throw Error("engine", "request: got one while the engine closes, want none");
      if (stats_.waiting >= options_.queue) {
        throw QueueFullError(
            fmt::format("the engine's queue: got {} requests that wait, want at most {}",
                        stats_.waiting + 1, options_.queue),
            stats_.queued_tokens);
      }
      live->id = ++last_id_;
      ++stats_.waiting;
      ++stats_.requests;
      submitted_.push_back(live);
    }
    wake_.notify_all();
    return live->id;
  }

  void Cancel(RequestId id) {
    {
      std::lock_guard lock(mutex_);
      cancelled_.push_back(id);
    }
    wake_.notify_all();
  }

  EngineStats stats() const {
    std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  // Opens the model, and sets the options that are zeros unless that was done before.
  void Open(bool again);
  void Loop();
  // Chooses the numbers for options that are zeros. Returns whether the KV cache may have fewer
  // tokens.
  bool ChooseLengths(const Model& model);
  void Turn();
  void TakeSubmitted();
  void Enqueue(Live& live);
  // Admits a waiting request if a row and pages are there.
  schedule::Room Admit(Live& live);
  bool RunPrompt();
  bool QueueSteps();
  // Queues a step of the sequences of a group. Returns whether there are any.
  bool QueueStep(BranchGroup& group, std::vector<LivePtr>& rows);
  void HandOut();
  void TakeToken(const LivePtr& live, int32_t token,
                 std::span<const kernels::TokenLogProb> log_probs);
  // Returns which tokens the listener lets a request choose next; nothing if it does not mask them.
  std::vector<uint32_t> AllowedOf(const Live& live) const;
  // Gives a sequence's row back.
  void LeaveRow(Live& live);
  // Puts a sequence whose tokens must all run again, back among the prompts.
  void RunAgain(Live& live);
  void End(const LivePtr& live, RequestEnd end, std::exception_ptr error = nullptr);
  void EndAll(RequestEnd end, const std::exception_ptr& error);
  // Opens the device again after a loss.
  void Recover();
  void UpdateStats();

  const Opener open_;
  EngineOptions options_;      // do not change once the engine is made
  model::GenaiConfig config_;  // likewise
  std::optional<Executor> executor_;
  std::optional<schedule::PageCache> pages_;
  std::optional<schedule::Scheduler> scheduler_;
  std::map<RequestId, LivePtr> live_;
  std::map<BranchGroup*, std::vector<LivePtr>> rows_;
  std::deque<InFlight> in_flight_;
  std::deque<Clock::time_point> losses_;
  int64_t rows_limit_ = 1;  // sequences that decode side by side
  int64_t admitted_ = 0;    // requests that have pages
  uint64_t prompt_tokens_ = 0, cached_tokens_ = 0, generated_tokens_ = 0, all_losses_ = 0,
           steps_ = 0;
  std::optional<WorkGate::Scope> work_;

  mutable std::mutex mutex_;  // for all below
  std::condition_variable wake_;
  std::vector<LivePtr> submitted_;
  std::vector<RequestId> cancelled_;
  RequestId last_id_ = 0;
  EngineStats stats_;
  bool closing_ = false;
  std::exception_ptr failure_;  // why the engine has ended

  std::thread thread_;
};

void Engine::Impl::Open(bool again) {
  std::shared_ptr<Model> model = open_();
  if (!again) config_ = model->config();
  ExecutorOptions executor;
  executor.max_batch = options_.max_batch;
  executor.deterministic = options_.deterministic;
  executor.run = options_.run;
  if (!again) executor.fewer_tokens = ChooseLengths(*model);
  executor.max_length = options_.max_length;
  executor.kv_tokens = options_.kv_tokens;
  executor_.emplace(std::move(model), executor);
  pages_.emplace(executor_->pages());
  rows_limit_ = std::min(options_.max_batch, executor_->max_batch());
  // Other threads read the options from now on.
  if (again) return;
  options_.max_batch = rows_limit_;
  options_.kv_tokens = executor_->pages() * kernels::kPageRows;
  scheduler_.emplace(schedule::SchedulerOptions{
      // Submit() keeps to the bound. Requests that were running wait again when a device is lost.
      .max_waiting = options_.queue + kMaxBatch,
      .max_waiting_of_client = options_.queue + kMaxBatch});
}

bool Engine::Impl::ChooseLengths(const Model& model) {
  const int64_t context = model.config().context_length;
  const bool any_length = options_.max_length == 0, any_tokens = options_.kv_tokens == 0;
  if (any_length) options_.max_length = std::min(kDefaultLength, context);
  if (options_.max_length < 2 || options_.max_length > context) {
    throw Error("engine", "maximum length: got {}, want 2 to {} (the model's context length)",
                options_.max_length, context);
  }
  const int64_t room = model.MostCacheRows() - kernels::kPageRows;
  if (any_tokens) options_.kv_tokens = std::min(kDefaultKvTokens, room);
  if (options_.kv_tokens < 2)
    throw Error("engine", "KV cache: got {} tokens, want at least 2", options_.kv_tokens);
  if (any_length) options_.max_length = std::min(options_.max_length, options_.kv_tokens);
  if (options_.kv_tokens > room) {
    throw Error("engine", "KV cache: got {} tokens, want at most {} on this adapter",
                options_.kv_tokens, room);
  }
  if (options_.kv_tokens < options_.max_length) {
    throw Error("engine", "KV cache: got {} tokens, want at least the maximum length of {}",
                options_.kv_tokens, options_.max_length);
  }
  return any_tokens;
}

void Engine::Impl::Loop() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] {
        return closing_ || !submitted_.empty() || !cancelled_.empty() || !live_.empty();
      });
      if (closing_) break;
    }
    try {
      Turn();
    } catch (const DeviceLostError&) {
      Recover();
    } catch (...) {
      EndAll(RequestEnd::kError, std::current_exception());
    }
    if (live_.empty()) work_.reset();
    UpdateStats();
  }
  EndAll(RequestEnd::kCancelled, nullptr);
  UpdateStats();
}

void Engine::Impl::Turn() {
  TakeSubmitted();
  if (live_.empty()) return;
  if (!work_) work_.emplace(executor_->model().gate());
  const bool stepped = QueueSteps();
  const bool prompted = RunPrompt();
  while (in_flight_.size() > (stepped || prompted ? kStepsAhead : 0)) {
    HandOut();
    if (!stepped && !prompted) break;
  }
}

void Engine::Impl::TakeSubmitted() {
  std::vector<LivePtr> submitted;
  std::vector<RequestId> cancelled;
  {
    std::lock_guard lock(mutex_);
    submitted.swap(submitted_);
    cancelled.swap(cancelled_);
  }
  for (LivePtr& live : submitted) {
    Enqueue(*live);
    live_.emplace(live->id, std::move(live));
  }
  for (const RequestId id : cancelled) {
    const auto it = live_.find(id);
    if (it != live_.end()) End(LivePtr(it->second), RequestEnd::kCancelled);
  }
}

void Engine::Impl::Enqueue(Live& live) {
  live.place = Live::Place::kWaiting;
  scheduler_->Push({.id = live.id,
                    .client = live.request.client,
                    .priority = live.request.priority,
                    .prompt_tokens = static_cast<int64_t>(live.tokens.size()),
                    .max_new_tokens = live.most - live.generated(),
                    .submitted = Clock::now()});
}

schedule::Room Engine::Impl::Admit(Live& live) {
  if (admitted_ >= rows_limit_) return schedule::Room::kNothing;
  // Keys depend on the branches that are taken at the prompt's length.
  live.group = &executor_->GroupAt(static_cast<int64_t>(live.tokens.size()));
  // A prompt that must be one run cannot leave out its beginning.
  const std::span<const int32_t> tokens(live.tokens);
  live.lease =
      pages_->Reserve(executor_->exact() ? tokens.first(0) : tokens, live.prompt_tokens + live.most,
                      executor_->FamilyOf(*live.group, live.prompt_tokens));
  if (!live.lease) return schedule::Room::kNotNow;
  live.place = Live::Place::kPrompt;
  live.run = 0;
  ++admitted_;
  return schedule::Room::kYes;
}

bool Engine::Impl::RunPrompt() {
  const std::optional<schedule::Choice> next =
      scheduler_->Next(Clock::now(), [&](RequestId id) { return Admit(*live_.at(id)); });
  if (!next) return false;
  const LivePtr live = live_.at(next->id);
  if (!executor_->exact()) {
    // An equal prompt may have run since the last chunk.
    const int64_t covered = pages_->ShareMore(*live->lease, live->tokens);
    if (covered > live->run && live->generated() == 0) live->cached_tokens += covered - live->run;
    if (covered > live->run) {
      live->run = covered;
      scheduler_->SetRemainingPrompt(live->id, std::ssize(live->tokens) - covered);
    }
  }
  try {
    const bool others = std::ranges::any_of(rows_, [](const auto& group) {
      return std::ranges::any_of(group.second, [](const LivePtr& row) { return row != nullptr; });
    });
    const int64_t ran =
        executor_->RunPrompt(*live->group, live->tokens, live->run, live->lease->pages(),
                             others ? kMostBetweenSteps : INT64_MAX);
    live->run += ran;
    scheduler_->ChargePrompt(live->id, ran);
    const std::span<const int32_t> tokens(live->tokens);
    if (!executor_->exact())
      pages_->Publish(*live->lease, tokens.first(static_cast<size_t>(live->run)));
    if (live->run < static_cast<int64_t>(tokens.size())) return true;
    std::vector<LivePtr>& rows = rows_[live->group];
    rows.resize(static_cast<size_t>(rows_limit_));
    const auto row = std::ranges::find(rows, nullptr);
    SINTER_CHECK(row != rows.end(), "no row for a sequence");
    live->row = row - rows.begin();
    const std::vector<uint32_t> allowed = AllowedOf(*live);
    Chosen token =
        executor_->Join(*live->group, live->row, tokens, live->generated(), live->request, allowed);
    *row = live;
    live->place = Live::Place::kDecode;
    live->in_flight = 1;
    in_flight_.push_back({std::move(token), {live}});
  } catch (const DeviceLostError&) {
    throw;
  } catch (const Error&) {
    // Other sequences have their programs and memory, and go on.
    End(live, RequestEnd::kError, std::current_exception());
  }
  return true;
}

bool Engine::Impl::QueueSteps() {
  bool queued = false;
  for (auto& [group, rows] : rows_) queued |= QueueStep(*group, rows);
  return queued;
}

bool Engine::Impl::QueueStep(BranchGroup& group, std::vector<LivePtr>& rows) {
  int64_t active = 0, end = 0, length = 1;
  bool masked_waits = false;
  ChoiceForm form = {.greedy = true};
  for (const LivePtr& row : rows) {
    if (row == nullptr) continue;
    if (row->generated() + row->in_flight >= row->most ||
        &executor_->GroupAt(row->queued_length()) != &group) {
      LeaveRow(*row);
      continue;
    }
    ++active;
    end = row->row + 1;
    length = std::max(length, row->queued_length());
    form = engine::Join(form, FormOf(row->request));
    masked_waits |= row->request.masks && row->in_flight > 0;
  }
  // A mask depends on the tokens before.
  if (active == 0 || masked_waits) return false;
  // Rows move down if a smaller program can then run them.
  for (; executor_->PaddedRows(end) > executor_->PaddedRows(active); --end) {
    LivePtr& last = rows[static_cast<size_t>(end - 1)];
    if (last == nullptr) continue;
    const auto hole = std::ranges::find(rows, nullptr);
    executor_->Move(group, end - 1, hole - rows.begin());
    executor_->Leave(group, end - 1);
    last->row = hole - rows.begin();
    *hole = std::exchange(last, nullptr);
  }
  InFlight step;
  step.rows.assign(rows.begin(), rows.begin() + end);
  for (const LivePtr& row : step.rows) {
    if (row != nullptr && row->request.masks)
      executor_->SetAllowed(group, row->row, AllowedOf(*row));
  }
  step.chosen = executor_->Step(group, end, form, length);
  for (const LivePtr& row : step.rows) {
    if (row != nullptr) ++row->in_flight;
  }
  in_flight_.push_back(std::move(step));
  ++steps_;
  return true;
}

void Engine::Impl::HandOut() {
  InFlight step = std::move(in_flight_.front());
  in_flight_.pop_front();
  const std::vector<std::byte> bytes = step.chosen.tokens.Wait();
  std::vector<kernels::TokenLogProb> log_probs;
  if (step.chosen.log_probs) {
    const std::vector<std::byte> results = step.chosen.log_probs.Wait();
    log_probs.resize(results.size() / sizeof(kernels::TokenLogProb));
    std::memcpy(log_probs.data(), results.data(), results.size());
  }
  const size_t each = 1 + step.chosen.top;
  for (size_t i = 0; i < step.rows.size(); ++i) {
    if (step.rows[i] == nullptr) continue;
    int32_t token = 0;
    std::memcpy(&token, bytes.data() + 4 * i, sizeof(token));
    std::span<const kernels::TokenLogProb> row(log_probs);
    TakeToken(step.rows[i], token, row.empty() ? row : row.subspan(i * each, each));
  }
}

std::vector<uint32_t> Engine::Impl::AllowedOf(const Live& live) const {
  if (!live.request.masks) return {};
  std::vector<uint32_t> allowed(static_cast<size_t>(config_.vocab_size + 31) / 32, UINT32_MAX);
  live.request.listener->MaskTokens(allowed);
  return allowed;
}

void Engine::Impl::TakeToken(const LivePtr& live, int32_t token,
                             std::span<const kernels::TokenLogProb> log_probs) {
  --live->in_flight;
  if (live->ended) return;
  if (const auto fault = kernels::FaultOf(static_cast<uint32_t>(token))) {
    try {
      // Runs that went wrong give logits that mean nothing, and errors of their own.
      executor_->CheckRuns();
      if (live->request.masks && *fault == kernels::TokenFault::kNothingFinite) {
        throw Error("engine", "allowed tokens: got none after {} tokens, want at least one",
                    live->tokens.size());
      }
      throw LogitsError(executor_->model(), *fault, static_cast<int64_t>(live->tokens.size()));
    } catch (const DeviceLostError&) {
      throw;
    } catch (const Error&) {
      return End(live, RequestEnd::kError, std::current_exception());
    }
  }
  live->tokens.push_back(token);
  scheduler_->ChargeGenerated(live->id, 1);
  ++generated_tokens_;
  ChosenToken chosen = {.token = token};
  std::vector<TokenLogProb> likeliest;
  if (live->request.log_probs) {
    chosen.log_prob = log_probs[0].log_prob;
    const auto wanted = static_cast<size_t>(*live->request.log_probs);
    for (const kernels::TokenLogProb& each : log_probs.subspan(1, wanted)) {
      // Fewer tokens may have a probability.
      if (each.token >= 0) likeliest.push_back({static_cast<int32_t>(each.token), each.log_prob});
    }
    chosen.likeliest = likeliest;
  }
  const bool goes_on = live->request.listener->OnToken(chosen);
  if (std::ranges::find(live->request.end_tokens, token) != live->request.end_tokens.end())
    return End(live, RequestEnd::kEndToken);
  if (!goes_on) return End(live, RequestEnd::kListener);
  if (live->generated() == live->most) return End(live, live->end_at_most);
  if (live->place == Live::Place::kDraining && live->in_flight == 0) RunAgain(*live);
}

void Engine::Impl::LeaveRow(Live& live) {
  if (live.place != Live::Place::kDecode) return;
  executor_->Leave(*live.group, live.row);
  rows_.at(live.group)[static_cast<size_t>(live.row)] = nullptr;
  live.place = Live::Place::kDraining;
}

void Engine::Impl::RunAgain(Live& live) {
  scheduler_->Remove(live.id);
  live.lease.reset();
  --admitted_;
  Enqueue(live);
}

void Engine::Impl::End(const LivePtr& live, RequestEnd end, std::exception_ptr error) {
  if (live->ended) return;
  live->ended = true;
  LeaveRow(*live);
  if (live->lease) {
    // The last token has not run yet, or its run is not known to be right. Steps compute keys in
    // another order than runs of a prompt.
    if (live->place == Live::Place::kDraining && error == nullptr && !executor_->exact() &&
        !options_.deterministic) {
      pages_->Publish(*live->lease,
                      std::span<const int32_t>(live->tokens).first(live->tokens.size() - 1));
    }
    live->lease.reset();
    --admitted_;
  }
  scheduler_->Remove(live->id);
  live_.erase(live->id);
  RequestResult result;
  result.end = end;
  result.error = std::move(error);
  result.prompt_tokens = live->prompt_tokens;
  result.cached_tokens = live->cached_tokens;
  result.generated_tokens = live->generated();
  prompt_tokens_ += static_cast<uint64_t>(live->prompt_tokens);
  cached_tokens_ += static_cast<uint64_t>(live->cached_tokens);
  live->request.listener->OnEnd(result);
}

void Engine::Impl::EndAll(RequestEnd end, const std::exception_ptr& error) {
  in_flight_.clear();
  {
    std::lock_guard lock(mutex_);
    for (LivePtr& live : submitted_) live_.emplace(live->id, live);
    submitted_.clear();
  }
  while (!live_.empty()) {
    const LivePtr live = live_.begin()->second;
    try {
      End(live, end, error);
    } catch (const Error&) {
      // The device does not even take commands any more; what it holds goes with it.
      live_.erase(live->id);
    }
  }
}

void Engine::Impl::Recover() {
  const Clock::time_point now = Clock::now();
  losses_.push_back(now);
  while (now - losses_.front() > kLossesWithin) losses_.pop_front();
  ++all_losses_;
  in_flight_.clear();
  rows_.clear();
  work_.reset();
  for (const auto& [id, live] : live_) {
    live->in_flight = 0;
    live->group = nullptr;
    live->lease.reset();
    if (live->place != Live::Place::kWaiting) {
      scheduler_->Remove(id);
      Enqueue(*live);
    }
  }
  admitted_ = 0;
  pages_.reset();
  executor_.reset();
  std::exception_ptr error;
  try {
    if (losses_.size() >= kMostLosses) {
      throw DeviceLostError(
          fmt::format("device: got {} losses within a minute, want fewer", losses_.size()));
    }
    return Open(/*again=*/true);
  } catch (...) {
    error = std::current_exception();
  }
  {
    std::lock_guard lock(mutex_);
    failure_ = error;
  }
  EndAll(RequestEnd::kError, error);
}

void Engine::Impl::UpdateStats() {
  EngineStats now;
  for (const auto& [id, live] : live_) {
    now.waiting += live->place == Live::Place::kWaiting;
    now.prompts += live->place == Live::Place::kPrompt;
    now.decoding += live->place == Live::Place::kDecode || live->place == Live::Place::kDraining;
  }
  if (pages_) {
    const schedule::PageFigures figures = pages_->figures();
    now.kv_pages = figures.total;
    now.kv_pages_used = figures.in_use;
    now.kv_pages_cached = figures.cached;
  }
  if (scheduler_) now.queued_tokens = scheduler_->figures().tokens;
  now.prompt_tokens = prompt_tokens_;
  now.cached_tokens = cached_tokens_;
  now.generated_tokens = generated_tokens_;
  now.losses = all_losses_;
  now.steps = steps_;
  std::lock_guard lock(mutex_);
  now.waiting += static_cast<int64_t>(submitted_.size());
  now.requests = last_id_;
  stats_ = now;
}

Engine::Engine(Opener open, const EngineOptions& options)
    : impl_(std::make_unique<Impl>(std::move(open), options)) {}
Engine::~Engine() = default;
const EngineOptions& Engine::options() const { return impl_->options(); }
const model::GenaiConfig& Engine::config() const { return impl_->config(); }
Engine::RequestId Engine::Submit(Request request) { return impl_->Submit(std::move(request)); }
void Engine::Cancel(RequestId id) { impl_->Cancel(id); }
EngineStats Engine::stats() const { return impl_->stats(); }

}  // namespace sinter::engine

#include "generate/batch_benchmark.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "engine/executor.h"
#include "kernels/common/kv_pages.h"
#include "model/chunking.h"
#include "schedule/page_cache.h"

namespace sinter::generate {
namespace {

using BatchClock = std::chrono::steady_clock;

constexpr double kAgree = 0.03;
constexpr int kMostExtraRounds = 10;

double Seconds(BatchClock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// Returns the calling thread's processor time.
double ProcessorSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Requests that run side by side once. Their listeners are called by the engine's thread only.
class Round {
 public:
  Round(int64_t sequences, int64_t new_tokens)
      : new_tokens_(new_tokens), missing_(sequences), running_(sequences) {
    times_.resize(static_cast<size_t>(sequences));
  }

  // Returns the listener of a sequence. The round must outlive it.
  std::shared_ptr<engine::RequestListener> Listen(size_t sequence) {
    return std::make_shared<Listener>(*this, sequence);
  }
  // Waits until all requests have ended. `check` may throw to stop waiting.
  void Wait(const std::function<void()>& check) {
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, std::chrono::milliseconds(100), [&] { return running_ == 0; })) {
      if (check) check();
    }
    if (error_) std::rethrow_exception(error_);
  }

  // For use after Wait(): the measured phase.
  double seconds() const { return Seconds(end_ - begin_); }
  double cpu_seconds() const { return cpu_end_ - cpu_begin_; }
  bool complete() const { return complete_; }
  int64_t cached_tokens() const { return cached_tokens_; }
  // Tokens that all sequences together had generated when the phase began.
  int64_t tokens_before() const { return tokens_before_; }
  // Times of the tokens of each sequence.
  const std::vector<std::vector<BatchClock::time_point>>& times() const { return times_; }

 private:
  class Listener : public engine::RequestListener {
   public:
    Listener(Round& round, size_t sequence) : round_(round), sequence_(sequence) {}
    bool OnToken(const engine::ChosenToken&) override { return round_.OnToken(sequence_, left_); }
    void OnEnd(const engine::RequestResult& result) override { round_.OnEnd(result, left_); }

   private:
    Round& round_;
    size_t sequence_;
    int64_t left_ = round_.new_tokens_ - 1;  // tokens of the phase
  };

  bool OnToken(size_t sequence, int64_t& left) {
    const BatchClock::time_point now = BatchClock::now();
    std::vector<BatchClock::time_point>& times = times_[sequence];
    times.push_back(now);
    if (missing_ > 0) {
      if (times.size() == 1 && --missing_ == 0) {
        begin_ = now;
        cpu_begin_ = ProcessorSeconds();
        for (const auto& each : times_) tokens_before_ += std::ssize(each);
      }
      return true;
    }
    if (--left > 0) return true;
    end_ = now;
    cpu_end_ = ProcessorSeconds();
    return false;
  }
  void OnEnd(const engine::RequestResult& result, int64_t left) {
    std::lock_guard lock(mutex_);
    if (result.error && !error_) error_ = result.error;
    complete_ = complete_ && left == 0;
    cached_tokens_ += result.cached_tokens;
    if (--running_ == 0) ended_.notify_all();
  }

  int64_t new_tokens_;
  int64_t missing_;  // sequences without a first token
  BatchClock::time_point begin_, end_;
  double cpu_begin_ = 0, cpu_end_ = 0;
  int64_t tokens_before_ = 0, cached_tokens_ = 0;
  bool complete_ = true;
  std::vector<std::vector<BatchClock::time_point>> times_;

  std::mutex mutex_;  // for all below
  std::condition_variable ended_;
  int64_t running_;
  std::exception_ptr error_;
};

// Returns the most steps that run before the last of the sequences has its first token: one beside
// each run of a prompt, and those that are queued ahead.
int64_t StepsBefore(const engine::Model& model, int64_t sequences, int64_t context) {
  constexpr int64_t kAhead = 8;
  if (sequences == 1) return kAhead;
  const std::vector<int64_t> lengths = model::ChunkLengths(std::min(model::kLoadedChunk, context));
  const model::RunCosts& costs =
      model.device()->adapter().software ? model::kSoftwareCosts : model::kGpuCosts;
  const auto runs =
      model.run_form().exact
          ? 1
          : std::ssize(model::CutPrompt(context, context + model::kLoadedChunk, lengths, costs));
  return sequences * (runs + 1) + kAhead;
}

// Returns the most tokens of a sequence in the benchmark.
int64_t MostTokens(const engine::Model& model, int64_t sequences, int64_t context,
                   int64_t new_tokens) {
  return std::min(context + new_tokens + StepsBefore(model, sequences, context),
                  model.config().context_length);
}

// Returns a prompt that differs from those of other numbers from its first tokens on.
std::vector<int32_t> NumberedPrompt(int64_t number, int64_t count, int64_t vocab_size) {
  std::vector<int32_t> tokens = MadeUpPrompt(count, vocab_size);
  constexpr size_t kDigits = 4;
  for (size_t i = 0; i < std::min(kDigits, tokens.size()); ++i, number /= vocab_size)
    tokens[i] = static_cast<int32_t>(number % vocab_size);
  return tokens;
}

// Returns the number of the next prompt.
int64_t NextPromptNumber() {
  static std::atomic<int64_t> number = 0;
  return number++;
}

std::unique_ptr<Round> RunRound(engine::Engine& engine, int64_t sequences, int64_t context,
                                int64_t most_tokens, const BenchmarkOptions& options,
                                std::vector<double>& first_token, std::vector<double>& between) {
  auto round = std::make_unique<Round>(sequences, options.new_tokens);
  std::vector<engine::Request> requests(static_cast<size_t>(sequences));
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt = NumberedPrompt(NextPromptNumber(), context, engine.config().vocab_size);
    requests[i].max_tokens = most_tokens - context;
    requests[i].listener = round->Listen(i);
  }
  std::vector<BatchClock::time_point> submitted;
  std::vector<engine::Engine::RequestId> ids;
  try {
    for (engine::Request& request : requests) {
      submitted.push_back(BatchClock::now());
      ids.push_back(engine.Submit(std::move(request)));
    }
    round->Wait(options.check);
  } catch (...) {
    // The listeners must not be called any more when the round is gone.
    for (const auto id : ids) engine.Cancel(id);
    round.release();  // NOLINT(bugprone-unused-return-value): a request may have it still
    throw;
  }
  if (!round->complete()) {
    throw Error("bench",
                "sequences: got one that ended before all had {} tokens, want room for "
                "more than {} tokens in each",
                options.new_tokens, most_tokens);
  }
  SINTER_CHECK(round->cached_tokens() == 0, "{} tokens of new prompts were in the cache",
               round->cached_tokens());
  for (size_t i = 0; i < submitted.size(); ++i) {
    const auto& times = round->times()[i];
    first_token.push_back(Seconds(times[0] - submitted[i]));
    for (size_t t = 1; t < times.size(); ++t) between.push_back(Seconds(times[t] - times[t - 1]));
  }
  return round;
}

BatchWork WorkOfStep(const engine::EngineOptions& engine, engine::Model& model, int64_t sequences,
                     double length) {
  const auto tokens = static_cast<int64_t>(length);
  const auto padded = engine.deterministic
                          ? engine.max_batch
                          : static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(sequences)));
  const engine::StepKey key =
      engine::DecodeKey(engine.max_length, engine.kv_tokens, model.BranchDecisions(tokens), padded);
  BatchWork sum;
  for (const compile::Work& work : model.programs().Get(key, tokens)->work) {
    sum.weight_bytes += work.weight_bytes;
    sum.cache_bytes += work.cache_bytes;
  }
  // The program's work is that of full page tables, of all its rows.
  const auto full = static_cast<double>(key.page_entries * kernels::kPageRows * padded);
  sum.cache_bytes *= static_cast<double>(sequences) * length / full;
  return sum;
}

}  // namespace

engine::EngineOptions BatchBenchmarkEngine(const engine::Model& model, int64_t most_sequences,
                                           int64_t longest_context,
                                           const BenchmarkOptions& options) {
  engine::EngineOptions engine;
  engine.max_batch = most_sequences;
  engine.max_length = MostTokens(model, most_sequences, longest_context, options.new_tokens);
  engine.kv_tokens = most_sequences * schedule::PagesOf(engine.max_length) * kernels::kPageRows;
  return engine;
}

BatchSpeed MeasureBatch(engine::Engine& engine, engine::Model& model, int64_t sequences,
                        int64_t context, const BenchmarkOptions& options) {
  SINTER_CHECK(options.repeats >= 1 && options.warm_up >= 0 && options.new_tokens >= 2,
               "{} repeats after {} to warm up, {} new tokens", options.repeats, options.warm_up,
               options.new_tokens);
  SINTER_CHECK(sequences >= 1 && sequences <= engine.options().max_batch, "{} sequences",
               sequences);
  const int64_t most = std::min(MostTokens(model, sequences, context, options.new_tokens),
                                engine.options().max_length);
  engine::ProgramSet& programs = model.programs();
  std::vector<double> rates, step_seconds, cpu, first_token, between;
  int64_t tokens_before = 0;
  const auto run = [&] {
    if (options.check) options.check();
    return RunRound(engine, sequences, context, most, options, first_token, between);
  };
  // On a software GPU nothing is compiled in the background, and rates differ more than 3%.
  const int most_rounds = model.device()->adapter().software ? std::max(options.warm_up, 1)
                                                             : options.warm_up + kMostExtraRounds;
  double last = 0;
  for (int round = 0; round < most_rounds; ++round) {
    programs.Settle();
    const uint64_t version = programs.version();
    const double seconds = run()->seconds();
    const bool agrees = std::abs(seconds - last) <= kAgree * seconds;
    last = seconds;
    if (round >= options.warm_up && agrees && programs.version() == version) break;
  }
  programs.Settle();
  first_token.clear();
  between.clear();
  const auto steps = static_cast<double>(options.new_tokens - 1);
  for (int repeat = 0; repeat < options.repeats; ++repeat) {
    const std::unique_ptr<Round> round = run();
    rates.push_back(static_cast<double>(sequences) * steps / round->seconds());
    step_seconds.push_back(round->seconds() / steps);
    cpu.push_back(round->cpu_seconds() / steps);
    tokens_before = round->tokens_before();
  }
  // Sequences whose prompts ran first are longer.
  const double length = static_cast<double>(context) +
                        static_cast<double>(tokens_before) / static_cast<double>(sequences) +
                        steps / 2;
  BatchSpeed speed;
  speed.sequences = sequences;
  speed.context = context;
  speed.new_tokens = options.new_tokens;
  speed.tokens_per_second = SpreadOf(std::move(rates));
  speed.seconds_per_step = SpreadOf(std::move(step_seconds));
  speed.cpu_seconds_per_step = SpreadOf(std::move(cpu));
  speed.first_token_seconds = SpreadOf(std::move(first_token));
  speed.between_tokens_seconds = SpreadOf(std::move(between));
  speed.work = WorkOfStep(engine.options(), model, sequences, length);
  return speed;
}

}  // namespace sinter::generate

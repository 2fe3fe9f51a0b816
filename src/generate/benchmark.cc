#include "generate/benchmark.h"

#include <time.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"

namespace sinter::generate {
namespace {

using Clock = std::chrono::steady_clock;

// Steps queued ahead, as many as Generator queues.
constexpr int64_t kStepsAhead = 3;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Returns this thread's processor time.
double ThreadSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void Check(const BenchmarkOptions& options) {
  if (options.check) options.check();
}

void CheckOptions(const BenchmarkOptions& options) {
  SINTER_CHECK(options.repeats >= 1 && options.warm_up >= 0, "{} repeats after {} to warm up",
               options.repeats, options.warm_up);
}

// A generation that the destructor takes back.
class Generation {
 public:
  explicit Generation(engine::Sequence& session) : session_(session) {
    session_.BeginGeneration({});
  }
  ~Generation() { session_.AbandonGeneration(); }
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

 private:
  engine::Sequence& session_;
};

void Begin(engine::Sequence& session, std::span<const int32_t> tokens) {
  session.Rewind(0);
  session.Append(tokens);
}

}  // namespace

Spread SpreadOf(std::vector<double> values) {
  SINTER_CHECK(!values.empty(), "the spread of nothing");
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

std::vector<int32_t> MadeUpPrompt(int64_t count, int64_t vocab_size) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<int32_t>((i * 7919 + 13) % vocab_size));
  }
  return tokens;
}

PrefillSpeed MeasurePrefill(engine::Sequence& session, std::span<const int32_t> prompt,
                            const BenchmarkOptions& options) {
  CheckOptions(options);
  std::vector<double> seconds, first_token;
  for (int run = -options.warm_up; run < options.repeats; ++run) {
    Check(options);
    session.Rewind(0);
    session.Wait();
    auto start = Clock::now();
    session.Append(prompt);
    session.Wait();
    const double prefill = SecondsSince(start);

    session.Rewind(0);
    start = Clock::now();
    session.Append(prompt);
    {
      const Generation generation(session);
      session.Step();
      session.Token(0);
      if (run >= 0) first_token.push_back(SecondsSince(start));
    }
    if (run >= 0) seconds.push_back(prefill);
  }
  return {static_cast<int64_t>(prompt.size()), SpreadOf(std::move(seconds)),
          SpreadOf(std::move(first_token))};
}

DecodeSpeed MeasureDecode(engine::Sequence& session, std::span<const int32_t> context,
                          const BenchmarkOptions& options) {
  CheckOptions(options);
  const int64_t count = options.new_tokens;
  SINTER_CHECK(count >= 2, "{} new tokens", count);
  Begin(session, context);
  std::vector<double> seconds, cpu;
  for (int run = -options.warm_up; run < options.repeats; ++run) {
    Check(options);
    // The last generation was taken back, and its logits with it: the last token of `context` runs
    // again.
    if (run > -options.warm_up) session.Append({});
    const Generation generation(session);
    session.Step();
    session.Token(0);
    const auto start = Clock::now();
    double queueing = 0;
    for (int64_t token = 1; token < count; ++token) {
      while (session.steps() < std::min(count, token + kStepsAhead)) {
        const double before = ThreadSeconds();
        session.Step();
        queueing += ThreadSeconds() - before;
      }
      session.Token(token);
    }
    const auto steps = static_cast<double>(count - 1);
    if (run < 0) continue;
    seconds.push_back(SecondsSince(start) / steps);
    cpu.push_back(queueing / steps);
  }
  const auto length = static_cast<int64_t>(context.size());
  return {length, count, SpreadOf(std::move(seconds)), SpreadOf(std::move(cpu)),
          session.DecodeWork(length + count / 2)};
}

Profile ProfilePrefill(engine::Sequence& session, std::span<const int32_t> prompt,
                       const BenchmarkOptions& options) {
  CheckOptions(options);
  Profile profile;
  for (int run = -options.warm_up; run < options.repeats; ++run) {
    Check(options);
    session.Rewind(0);
    std::vector<run::DispatchTime> times = session.ProfileAppend(prompt);
    if (run >= 0) profile.push_back(std::move(times));
  }
  return profile;
}

Profile ProfileDecode(engine::Sequence& session, std::span<const int32_t> context,
                      const BenchmarkOptions& options) {
  CheckOptions(options);
  Begin(session, context);
  const Generation generation(session);
  session.Step();
  Profile profile;
  for (int run = -options.warm_up; run < options.repeats; ++run) {
    Check(options);
    std::vector<run::DispatchTime> times = session.ProfileStep();
    if (run >= 0) profile.push_back(std::move(times));
  }
  return profile;
}

}  // namespace sinter::generate

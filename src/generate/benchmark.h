// Speed of a session: prompts, generated tokens, where the time goes.
//
// Every figure is measured several times after a warm-up and given as median with its spread; what
// a figure covers is said beside it. Nothing here depends on the text: prompts are made up of
// tokens from the whole vocabulary.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "compile/work.h"
#include "engine/sequence.h"
#include "run/program.h"

namespace sinter::generate {

struct Spread {
  double median = 0, min = 0, max = 0;
};
// Of at least one value.
Spread SpreadOf(std::vector<double> values);

struct BenchmarkOptions {
  int64_t new_tokens = 128;
  int repeats = 5;  // runs that count, one at least
  int warm_up = 1;  // runs before them
  // Called between runs; may throw to stop.
  std::function<void()> check;
};

// `count` tokens that are the same for every model of that vocabulary: token i is (7919 i + 13)
// modulo its size.
std::vector<int32_t> MadeUpPrompt(int64_t count, int64_t vocab_size);

struct PrefillSpeed {
  int64_t tokens = 0;
  // From the call to the GPU having done all of it.
  Spread seconds;
  // From the call to the first generated token being known to the CPU.
  Spread first_token_seconds;
};
// The session's sequence becomes `prompt`.
PrefillSpeed MeasurePrefill(engine::Sequence& session, std::span<const int32_t> prompt,
                            const BenchmarkOptions& options);

struct DecodeSpeed {
  int64_t context = 0;     // tokens before the first generated one
  int64_t new_tokens = 0;  // generated in each run
  // For each token after the first, greedy, every token read by the CPU as Generator does.
  Spread seconds_per_token;
  // Time of the calling thread's processor to queue a token.
  Spread cpu_seconds_per_token;
  // Of the run in the middle.
  compile::Work work;
};
// Generates options.new_tokens, two at least, behind `context`, which becomes the session's
// sequence.
DecodeSpeed MeasureDecode(engine::Sequence& session, std::span<const int32_t> context,
                          const BenchmarkOptions& options);

// Times of every dispatch, one list a run.
using Profile = std::vector<std::vector<run::DispatchTime>>;
Profile ProfilePrefill(engine::Sequence& session, std::span<const int32_t> prompt,
                       const BenchmarkOptions& options);
// One run is one token.
Profile ProfileDecode(engine::Sequence& session, std::span<const int32_t> context,
                      const BenchmarkOptions& options);

}  // namespace sinter::generate

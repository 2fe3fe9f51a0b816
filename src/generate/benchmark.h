// Measures a session's speed: prompts, generated tokens, and the time of each kernel.
//
// Each figure is measured several times after a warm-up and given as the median with its spread.
// Its comment says what it covers. Nothing depends on the text, so prompts are made up of tokens
// from the whole vocabulary.
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
// Returns the spread of the values, of which there is at least one.
Spread SpreadOf(std::vector<double> values);

struct BenchmarkOptions {
  int64_t new_tokens = 128;
  int repeats = 5;  // runs that count, at least one
  int warm_up = 1;  // runs before them
  // Called between runs. It may throw to stop.
  std::function<void()> check;
};

// Returns `count` tokens, the same for every model with a vocabulary of that size: token i is
// (7919 i + 13) modulo vocab_size.
std::vector<int32_t> MadeUpPrompt(int64_t count, int64_t vocab_size);

struct PrefillSpeed {
  int64_t tokens = 0;
  // Time from the call until the GPU has run the whole prompt.
  Spread seconds;
  // Time from the call until the CPU knows the first generated token.
  Spread first_token_seconds;
};
// Measures a prompt. The session's sequence is `prompt` afterwards.
PrefillSpeed MeasurePrefill(engine::Sequence& session, std::span<const int32_t> prompt,
                            const BenchmarkOptions& options);

struct DecodeSpeed {
  int64_t context = 0;     // tokens before the first generated one
  int64_t new_tokens = 0;  // tokens generated in each run
  // Time of each token after the first. Tokens are chosen greedily, and the CPU reads each one, as
  // Generator does.
  Spread seconds_per_token;
  // Processor time that the calling thread takes to queue a token.
  Spread cpu_seconds_per_token;
  // Work of the token in the middle of a run.
  compile::Work work;
};
// Measures generation: options.new_tokens tokens, at least two, after `context`. The session's
// sequence is `context` afterwards.
DecodeSpeed MeasureDecode(engine::Sequence& session, std::span<const int32_t> context,
                          const BenchmarkOptions& options);

// Times of all dispatches, one list for each run.
using Profile = std::vector<std::vector<run::DispatchTime>>;
Profile ProfilePrefill(engine::Sequence& session, std::span<const int32_t> prompt,
                       const BenchmarkOptions& options);
// Profiles decoding. Each run is one token.
Profile ProfileDecode(engine::Sequence& session, std::span<const int32_t> context,
                      const BenchmarkOptions& options);

}  // namespace sinter::generate

// Measures the speed of many sequences side by side, through the engine that serves them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/model.h"
#include "generate/benchmark.h"

namespace sinter::generate {

// Work of one decode step of all sequences.
struct BatchWork {
  double weight_bytes = 0;  // constants, read once
  double cache_bytes = 0;   // keys and values of all sequences
  double bytes() const { return weight_bytes + cache_bytes; }
};

struct BatchSpeed {
  int64_t sequences = 0;
  int64_t context = 0;  // tokens of each prompt
  int64_t new_tokens =
      0;  // tokens that each sequence generates in the measured phase, and one more
  // Tokens of all sequences in a second, and seconds of a step, of each run. They cover the phase
  // in which all sequences decode: from the first token of the sequence that got it last until each
  // sequence has new_tokens - 1 more.
  Spread tokens_per_second, seconds_per_step;
  // Processor time that the engine's thread takes for a step in that phase.
  Spread cpu_seconds_per_step;
  // Time from the submission of a request until its first token, over all requests of all runs. All
  // requests of a run are submitted at once, and their prompts run one after the other.
  Spread first_token_seconds;
  // Time between two tokens of a sequence, over all tokens of all runs, also those before the
  // phase, when prompts of other sequences run in between.
  Spread between_tokens_seconds;
  // Work of a step in the middle of the phase.
  BatchWork work;
};

// Returns options for an engine that runs up to `most_sequences` sequences with prompts of up to
// `longest_context` tokens, as MeasureBatch needs it. Lengths are at most the model's context.
engine::EngineOptions BatchBenchmarkEngine(const engine::Model& model, int64_t most_sequences,
                                           int64_t longest_context,
                                           const BenchmarkOptions& options);

// Measures `sequences` greedy sequences behind prompts of `context` tokens each. `engine` must be
// made with options from BatchBenchmarkEngine on `model`, and must have no other requests.
//
// Prompts are MadeUpPrompt() of that length, but begin with the number of the request, so that no
// prompt begins as an earlier one and the engine finds nothing of it in its cache. End tokens do
// not end a sequence.
//
// Waits for programs that are compiled in the background. Beside the runs that options.warm_up asks
// for, a GPU gets up to ten more, until two in succession agree within 3%.
//
// Throws Error if a request fails.
BatchSpeed MeasureBatch(engine::Engine& engine, engine::Model& model, int64_t sequences,
                        int64_t context, const BenchmarkOptions& options);

}  // namespace sinter::generate

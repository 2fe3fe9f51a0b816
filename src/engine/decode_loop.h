// Generates tokens without the CPU in the loop: tokens are chosen on the GPU, steps are queued
// ahead, and tokens come back through a ring.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/step_runner.h"
#include "engine/token_chooser.h"
#include "kernels/sample/step_state.h"
#include "kernels/sample/token_choice.h"

namespace sinter::engine {

// Parameters of the choice of tokens.
struct TokenChoice {
  bool greedy = true;
  kernels::SamplingOptions options;
  uint32_t seed = 0;
};

class DecodeLoop {
 public:
  DecodeLoop(const Model& model, StepRunner& runner)
      : model_(model), runner_(runner), chooser_(model, runner) {}

  // Begins a generation after `tokens`. The logits of the last token are in row `logits_row` of the
  // runner's logits buffer.
  void Begin(const TokenChoice& choice, std::span<const int32_t> tokens, uint32_t logits_row);
  // Queues the choice of a token from the logits that the runner's buffer holds.
  void StepFromLogits(StepProgram& decode);
  // Queues a run of the token chosen last, after `past` tokens in the cache, and the choice of the
  // next token.
  void Step(StepProgram& decode, int64_t past);
  // Returns the number of steps queued since Begin.
  int64_t steps() const { return static_cast<int64_t>(pending_.size()); }
  // Waits for the token of a step and returns it. Throws Error if the step's logits, or those of a
  // step before, allow no choice.
  int32_t Token(int64_t step);
  // Returns the tokens that were read back, in order.
  const std::vector<int32_t>& tokens() const { return tokens_; }
  // Forgets the steps.
  void End() noexcept { pending_.clear(); }

  const TokenChoice& choice() const { return choice_; }
  // Returns the number of dispatches of a step that chooses greedily.
  size_t GreedyDispatches(const StepProgram& decode) const {
    return chooser_.StepDispatches(decode, {.greedy = true});
  }

 private:
  void ReadBack();

  const Model& model_;
  StepRunner& runner_;
  TokenChooser chooser_;
  TokenChoice choice_;
  std::vector<gpu::Readback> pending_;
  std::vector<int32_t> tokens_;
  int64_t begin_ = 0;  // tokens of the sequence before the generation
};

}  // namespace sinter::engine

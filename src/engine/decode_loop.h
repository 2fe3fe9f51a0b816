// Generation without the CPU in the loop: the choice of a token on the GPU, steps queued ahead, the
// ring through which tokens come back.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/step_runner.h"
#include "kernels/sample/step_state.h"
#include "kernels/sample/token_choice.h"

namespace sinter::engine {

// How tokens are chosen.
struct TokenChoice {
  bool greedy = true;
  kernels::SamplingOptions options;
  uint32_t seed = 0;
};

class DecodeLoop {
 public:
  DecodeLoop(const Model& model, StepRunner& runner) : model_(model), runner_(runner) {}

  // Begins behind `tokens`, whose logits are in the row `logits_row` of the runner's.
  void Begin(const TokenChoice& choice, std::span<const int32_t> tokens, uint32_t logits_row);
  // Queues the choice of a token from the logits that are there.
  void StepFromLogits(StepProgram& decode);
  // Queues a run of the token chosen last, behind `past` others, and the choice of the next one.
  void Step(StepProgram& decode, int64_t past);
  // Steps queued since Begin.
  int64_t steps() const { return static_cast<int64_t>(pending_.size()); }
  // Waits for the token of a step.
  int32_t Token(int64_t step);
  // Tokens that were waited for, in order.
  const std::vector<int32_t>& tokens() const { return tokens_; }
  // Forgets the steps.
  void End() noexcept { pending_.clear(); }

  const TokenChoice& choice() const { return choice_; }
  // Returns whether the choice of a token makes the inputs of the program that runs it.
  bool MakesInputs(const CompiledStep& decode) const;
  // Number of dispatches of a step that chooses greedily.
  size_t GreedyDispatches(const StepProgram& decode) const;

 private:
  kernels::TokenChoiceShape ShapeOf(const CompiledStep& decode) const;
  std::vector<kernels::KernelPlan> PlansOf(const CompiledStep& decode, bool greedy) const;
  // Records the choice, alone and behind the program, where that is not done yet.
  void Record(StepProgram& decode);
  void ReadBack();

  const Model& model_;
  StepRunner& runner_;
  TokenChoice choice_;
  // What is recorded, and of which program and way to choose.
  std::shared_ptr<const CompiledStep> recorded_;
  bool recorded_greedy_ = false;
  std::optional<gpu::CommandList> choose_, decode_and_choose_;
  std::vector<gpu::Readback> pending_;
  std::vector<int32_t> tokens_;
};

}  // namespace sinter::engine

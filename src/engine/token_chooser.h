// Records the dispatches that choose tokens from the logits of a program's run.
#pragma once

#include <compare>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/step_runner.h"
#include "gpu/device.h"
#include "kernels/kernel_plan.h"
#include "kernels/sample/token_choice.h"

namespace sinter::engine {

// How a step chooses. Each form has other dispatches.
struct ChoiceForm {
  bool greedy = false;   // whether every sequence takes its likeliest token
  bool adjusts = false;  // whether logits are adjusted before (kernels::LogitAdjustments)
  // Number of likeliest tokens whose log probabilities are wanted with that of the token chosen.
  std::optional<uint32_t> log_probs;
  auto operator<=>(const ChoiceForm&) const = default;
};

// Returns a form in which sequences of both forms can choose.
ChoiceForm Join(const ChoiceForm& a, const ChoiceForm& b);

// Chooses tokens on the memory of a runner, which must outlive it.
class TokenChooser {
 public:
  TokenChooser(const Model& model, StepRunner& runner) : model_(model), runner_(runner) {}

  struct Recorded {
    std::shared_ptr<const CompiledStep> step;
    gpu::CommandList choose;
    // The program of one token, preceded by the dispatch that makes its inputs unless the choice
    // before made them, and followed by the choice.
    gpu::CommandList run_and_choose;
    // Index of the program's first dispatch in run_and_choose.
    size_t first = 0;
  };
  // The runner's buffers must have what the form needs (StepBuffers::AddAdjustments, AddLogProbs).
  // Returns the choice after runs of `decode`, the program of one token, recorded once. The choice
  // after a run of a prompt is that of the program that runs next.
  const Recorded& Record(const StepProgram& decode, const ChoiceForm& form);

  // Queues a run of the token chosen last, after `past` tokens in the cache, and the choice of the
  // next one.
  void Step(const StepProgram& decode, const ChoiceForm& form, int64_t past);

  // Returns whether the choice makes the inputs of the next run, so that step_inputs need not.
  bool MakesInputs(const CompiledStep& decode) const;
  // Returns the number of dispatches of a step.
  size_t StepDispatches(const StepProgram& decode, const ChoiceForm& form) const;

 private:
  kernels::TokenChoiceShape ShapeOf(const CompiledStep& decode, const ChoiceForm& form) const;
  void RecordAdjustments(const CompiledStep& decode, gpu::CommandList& list) const;
  void RecordLogProbs(const CompiledStep& decode, uint32_t top, gpu::CommandList& list) const;
  std::vector<kernels::KernelPlan> PlansOf(const CompiledStep& decode,
                                           const ChoiceForm& form) const;

  const Model& model_;
  StepRunner& runner_;
  std::map<std::pair<StepKey, ChoiceForm>, Recorded> recorded_;
};

}  // namespace sinter::engine

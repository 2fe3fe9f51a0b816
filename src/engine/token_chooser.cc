#include "engine/token_chooser.h"

#include <algorithm>

#include "engine/model.h"
#include "kernels/adjust_logits/adjust_logits.h"
#include "kernels/argmax/argmax.h"
#include "kernels/log_probs/log_probs.h"
#include "kernels/sample/sample.h"
#include "run/record_plan.h"

namespace sinter::engine {

ChoiceForm Join(const ChoiceForm& a, const ChoiceForm& b) {
  ChoiceForm form = {a.greedy && b.greedy, a.adjusts || b.adjusts, a.log_probs};
  if (b.log_probs) form.log_probs = std::max(form.log_probs.value_or(0), *b.log_probs);
  return form;
}

void TokenChooser::Step(const StepProgram& decode, const ChoiceForm& form, int64_t past) {
  // A program that replaced another reads its inputs from the same buffers.
  const Recorded& recorded = Record(decode, form);
  if (runner_.options().capture)
    return runner_.Submit(recorded.run_and_choose, &decode, recorded.first, past, 1);
  runner_.Run(decode, past, 1, MakesInputs(*decode.step));
  runner_.Submit(recorded.choose, nullptr, 0, 0, 0);
}

bool TokenChooser::MakesInputs(const CompiledStep& decode) const {
  const kernels::StepInputsShape& shape = decode.inputs;
  // Besides the inputs, the choice needs the other buffers of TokenChoiceShape.
  const uint32_t buffers = 7 + (shape.has_position_ids || shape.has_last_position ? 1 : 0) +
                           (shape.has_total_length ? 1 : 0);
  return !shape.has_attention_mask && !shape.has_last_row && !shape.has_past_length &&
         buffers <= runner_.device().caps().limits.max_storage_buffers_per_stage;
}

kernels::TokenChoiceShape TokenChooser::ShapeOf(const CompiledStep& decode,
                                                const ChoiceForm& form) const {
  kernels::TokenChoiceShape shape;
  shape.batch = static_cast<uint32_t>(decode.key.batch);
  shape.vocab = static_cast<uint32_t>(model_.config().vocab_size);
  // Adjusted logits are one row for each sequence.
  shape.rows = form.adjusts ? 1 : static_cast<uint32_t>(runner_.logits_rows());
  shape.ring_size = static_cast<uint32_t>(runner_.memory().ring);
  shape.dtype = form.adjusts ? DType::kF32 : model_.logits_dtype();
  if (MakesInputs(decode)) {
    shape.position_ids = decode.inputs.has_position_ids || decode.inputs.has_last_position;
    shape.total_length = decode.inputs.has_total_length;
  }
  return shape;
}

std::vector<kernels::KernelPlan> TokenChooser::PlansOf(const CompiledStep& decode,
                                                       const ChoiceForm& form) const {
  const Caps& caps = runner_.device().caps();
  if (form.greedy) return {kernels::PlanArgmax(caps, ShapeOf(decode, form))};
  return kernels::PlanSample(caps, ShapeOf(decode, form));
}

void TokenChooser::RecordAdjustments(const CompiledStep& decode, gpu::CommandList& list) const {
  kernels::AdjustLogitsShape shape;
  shape.vocab = static_cast<uint32_t>(model_.config().vocab_size);
  shape.batch = static_cast<uint32_t>(decode.key.batch);
  shape.rows = static_cast<uint32_t>(runner_.logits_rows());
  shape.dtype = model_.logits_dtype();
  shape.has_allowed = shape.has_counts = true;
  const StepBuffers& buffers = runner_.buffers();
  using Roles = kernels::AdjustLogitsRoles;
  const run::RoleBuffer operands[] = {
      {Roles::kLogits, buffers.logits},    {Roles::kState, buffers.state},
      {Roles::kOptions, buffers.sampling}, {Roles::kAdjustments, buffers.adjustments},
      {Roles::kAllowed, buffers.allowed},  {Roles::kCounts, buffers.counts},
      {Roles::kAdjusted, buffers.adjusted}};
  gpu::Device& device = runner_.device();
  run::RecordPlan(device, kernels::PlanAdjustLogits(device.caps(), shape), operands, list,
                  "logit adjustments");
}

void TokenChooser::RecordLogProbs(const CompiledStep& decode, uint32_t top,
                                  gpu::CommandList& list) const {
  kernels::LogProbsShape shape;
  shape.vocab = static_cast<uint32_t>(model_.config().vocab_size);
  shape.batch = static_cast<uint32_t>(decode.key.batch);
  shape.rows = static_cast<uint32_t>(runner_.logits_rows());
  shape.top = top;
  shape.dtype = model_.logits_dtype();
  const StepBuffers& buffers = runner_.buffers();
  using Roles = kernels::LogProbsRoles;
  const run::RoleBuffer operands[] = {{Roles::kLogits, buffers.logits},
                                      {Roles::kState, buffers.state},
                                      {Roles::kOptions, buffers.sampling},
                                      {Roles::kScratch, buffers.log_probs_scratch},
                                      {Roles::kResults, buffers.log_probs}};
  gpu::Device& device = runner_.device();
  for (const kernels::KernelPlan& plan : kernels::PlanLogProbs(device.caps(), shape))
    run::RecordPlan(device, plan, operands, list, "log probabilities");
}

const TokenChooser::Recorded& TokenChooser::Record(const StepProgram& decode,
                                                   const ChoiceForm& form) {
  const std::pair key(decode.step->key, form);
  if (const auto it = recorded_.find(key);
      it != recorded_.end() && it->second.step == decode.step) {
    return it->second;
  }
  gpu::Device& device = runner_.device();
  const kernels::TokenChoiceShape shape = ShapeOf(*decode.step, form);
  const StepBuffers& buffers = runner_.buffers();
  using Roles = kernels::TokenChoiceRoles;
  const run::RoleBuffer operands[] = {
      {Roles::kLogits, form.adjusts ? buffers.adjusted : buffers.logits},
      {Roles::kState, buffers.state},
      {Roles::kOptions, buffers.sampling},
      {Roles::kSeen, buffers.seen},
      {Roles::kTokens, buffers.ring},
      {Roles::kInputIds, buffers.input_ids},
      {Roles::kScratch, buffers.choice_scratch},
      {Roles::kPositionIds, shape.position_ids ? buffers.position_ids : gpu::Buffer()},
      {Roles::kTotalLength, shape.total_length ? buffers.total_length : gpu::Buffer()}};
  Recorded recorded = {decode.step, gpu::CommandList(device), gpu::CommandList(device)};
  if (form.adjusts) RecordAdjustments(*decode.step, recorded.choose);
  for (const kernels::KernelPlan& plan : PlansOf(*decode.step, form))
    run::RecordPlan(device, plan, operands, recorded.choose, "token choice");
  if (form.log_probs) RecordLogProbs(*decode.step, *form.log_probs, recorded.choose);
  const bool inputs_made = MakesInputs(*decode.step);
  recorded.run_and_choose.Append(inputs_made ? decode.program->captured() : decode.captured);
  recorded.run_and_choose.Append(recorded.choose);
  recorded.first = inputs_made ? 0 : decode.inputs.num_dispatches();
  return recorded_.insert_or_assign(key, std::move(recorded)).first->second;
}

size_t TokenChooser::StepDispatches(const StepProgram& decode, const ChoiceForm& form) const {
  return (MakesInputs(*decode.step) ? decode.program->captured() : decode.captured)
             .num_dispatches() +
         PlansOf(*decode.step, form).size();
}

}  // namespace sinter::engine

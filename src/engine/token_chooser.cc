#include "engine/token_chooser.h"

#include "engine/model.h"
#include "kernels/argmax/argmax.h"
#include "kernels/sample/sample.h"
#include "run/record_plan.h"

namespace sinter::engine {

bool TokenChooser::MakesInputs(const CompiledStep& decode) const {
  const kernels::StepInputsShape& shape = decode.inputs;
  // Besides the inputs, the choice needs the other buffers of TokenChoiceShape.
  const uint32_t buffers = 7 + (shape.has_position_ids || shape.has_last_position ? 1 : 0) +
                           (shape.has_total_length ? 1 : 0);
  return !shape.has_attention_mask && !shape.has_last_row && !shape.has_past_length &&
         buffers <= runner_.device().caps().limits.max_storage_buffers_per_stage;
}

kernels::TokenChoiceShape TokenChooser::ShapeOf(const CompiledStep& decode) const {
  kernels::TokenChoiceShape shape;
  shape.batch = static_cast<uint32_t>(decode.key.batch);
  shape.vocab = static_cast<uint32_t>(model_.config().vocab_size);
  shape.rows = static_cast<uint32_t>(runner_.logits_rows());
  shape.ring_size = static_cast<uint32_t>(runner_.memory().ring);
  shape.dtype = model_.logits_dtype();
  if (MakesInputs(decode)) {
    shape.position_ids = decode.inputs.has_position_ids || decode.inputs.has_last_position;
    shape.total_length = decode.inputs.has_total_length;
  }
  return shape;
}

std::vector<kernels::KernelPlan> TokenChooser::PlansOf(const CompiledStep& decode,
                                                       const ChoiceForm& form) const {
  const Caps& caps = runner_.device().caps();
  if (form.greedy) return {kernels::PlanArgmax(caps, ShapeOf(decode))};
  return kernels::PlanSample(caps, ShapeOf(decode));
}

const TokenChooser::Recorded& TokenChooser::Record(const StepProgram& decode,
                                                   const ChoiceForm& form) {
  const std::pair key(decode.step->key, form);
  if (const auto it = recorded_.find(key);
      it != recorded_.end() && it->second.step == decode.step) {
    return it->second;
  }
  gpu::Device& device = runner_.device();
  const kernels::TokenChoiceShape shape = ShapeOf(*decode.step);
  const StepBuffers& buffers = runner_.buffers();
  using Roles = kernels::TokenChoiceRoles;
  const run::RoleBuffer operands[] = {
      {Roles::kLogits, buffers.logits},
      {Roles::kState, buffers.state},
      {Roles::kOptions, buffers.sampling},
      {Roles::kSeen, buffers.seen},
      {Roles::kTokens, buffers.ring},
      {Roles::kInputIds, buffers.input_ids},
      {Roles::kScratch, buffers.choice_scratch},
      {Roles::kPositionIds, shape.position_ids ? buffers.position_ids : gpu::Buffer()},
      {Roles::kTotalLength, shape.total_length ? buffers.total_length : gpu::Buffer()}};
  Recorded recorded = {decode.step, gpu::CommandList(device), gpu::CommandList(device)};
  for (const kernels::KernelPlan& plan : PlansOf(*decode.step, form))
    run::RecordPlan(device, plan, operands, recorded.choose, "token choice");
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

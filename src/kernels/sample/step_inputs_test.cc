#include "kernels/sample/step_inputs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/sample/token_choice_testing.h"

namespace sinter::kernels {
namespace {

// Sequence i of the batch has a past of `past` + 3 i tokens.
std::vector<Operand> MakeOperands(const StepInputsShape& shape, uint32_t past) {
  std::vector<double> states, mask, ids, ends, last_positions;
  for (uint32_t i = 0; i < shape.batch; ++i) {
    const StepState state{.past_length = past + 3 * i,
                          .total_length = past + 3 * i + 1,
                          .last_row = 5,
                          .position = 9,
                          .seed = 8,
                          .eos_hit = 1,
                          .token = 7};
    const std::vector<double> values = StateValues(state);
    states.insert(states.end(), values.begin(), values.end());
    const uint32_t end = state.past_length + shape.sequence;
    for (uint32_t j = 0; j < shape.mask_length; ++j) mask.push_back(j < end);
    for (uint32_t j = 0; j < shape.sequence; ++j) ids.push_back(state.past_length + j);
    ends.push_back(end);
    last_positions.push_back(end - 1);
  }
  const auto output = [](bool present, std::vector<double> want) {
    return present ? Operand::Output(DType::kI32, std::move(want), 0) : Operand::Absent();
  };
  return {Operand::Input(DType::kU32, states),
          output(shape.has_attention_mask, mask),
          output(shape.has_position_ids, ids),
          output(shape.has_total_length, ends),
          output(shape.has_last_row, {shape.batch == 1 ? 5.0 : 0.0}),
          output(shape.has_last_position, last_positions),
          output(shape.has_past_length, {double(past)})};
}

const bool kRegistered = RegisterKernelCases("step_inputs", [](const Caps&) {
  std::vector<KernelCase> cases;
  const auto add = [&](std::string name, StepInputsShape shape, uint32_t past) {
    KernelCase c;
    c.name = fmt::format("b{}.s{}.past{}{}", shape.batch, shape.sequence, past, name);
    c.operands = [=] { return MakeOperands(shape, past); };
    c.plan = [=](const Caps& device, std::string_view variant) {
      return PlanStepInputs(device, shape, variant);
    };
    cases.push_back(std::move(c));
  };
  for (const auto& [sequence, mask] : {std::pair{1u, 1u}, {1u, 1000u}, {64u, 257u}, {600u, 700u}}) {
    StepInputsShape shape{.sequence = sequence,
                          .mask_length = mask,
                          .has_attention_mask = true,
                          .has_position_ids = true,
                          .has_total_length = true,
                          .has_last_row = true,
                          .has_last_position = true,
                          .has_past_length = true};
    for (const uint32_t past : {0u, 1u, mask - sequence}) {
      if (past + sequence <= mask) add(".all", shape, past);
    }
    add(".mask", {.sequence = sequence, .mask_length = mask, .has_attention_mask = true}, 0);
    add(".ids", {.sequence = sequence, .has_position_ids = true}, 4);
    add(".last_row", {.sequence = sequence, .has_last_row = true}, 4);
  }
  for (const uint32_t batch : {3u, 64u}) {
    add(".all",
        {.batch = batch,
         .mask_length = 701,
         .has_attention_mask = true,
         .has_position_ids = true,
         .has_total_length = true,
         .has_last_row = true,
         .has_last_position = true},
        2);
  }
  return cases;
});

TEST(StepInputs, RefusesUnknownVariants) { EXPECT_THROW(PlanStepInputs({}, {}, "wg1"), Error); }

TEST(StepInputs, RefusesWhatABatchCannotHave) {
  EXPECT_THROW(PlanStepInputs({}, {.batch = 2, .sequence = 2}), Error);
  EXPECT_THROW(PlanStepInputs({}, {.batch = 2, .has_past_length = true}), Error);
}

}  // namespace
}  // namespace sinter::kernels

#include "kernels/sample/step_inputs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/sample/token_choice_testing.h"

namespace sinter::kernels {
namespace {

std::vector<Operand> MakeOperands(const StepInputsShape& shape, uint32_t past) {
  const StepState state{.past_length = past,
                        .total_length = past + 1,
                        .last_row = 5,
                        .position = 9,
                        .seed = 8,
                        .eos_hit = 1,
                        .token = 7};
  const uint32_t end = past + shape.sequence;
  std::vector<double> mask(shape.mask_length), ids(shape.sequence);
  for (uint32_t i = 0; i < shape.mask_length; ++i) mask[i] = i < end;
  for (uint32_t i = 0; i < shape.sequence; ++i) ids[i] = past + i;
  const auto output = [](bool present, std::vector<double> want) {
    return present ? Operand::Output(DType::kI32, std::move(want), 0) : Operand::Absent();
  };
  return {Operand::Input(DType::kU32, StateValues(state)),
          output(shape.has_attention_mask, mask),
          output(shape.has_position_ids, ids),
          output(shape.has_total_length, {double(end)}),
          output(shape.has_last_row, {5}),
          output(shape.has_last_position, {double(end) - 1}),
          output(shape.has_past_length, {double(past)})};
}

const bool kRegistered = RegisterKernelCases("step_inputs", [](const Caps&) {
  std::vector<KernelCase> cases;
  const auto add = [&](std::string name, StepInputsShape shape, uint32_t past) {
    KernelCase c;
    c.name = fmt::format("s{}.past{}{}", shape.sequence, past, name);
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
  return cases;
});

TEST(StepInputs, RefusesUnknownVariants) { EXPECT_THROW(PlanStepInputs({}, {}, "wg1"), Error); }

}  // namespace
}  // namespace sinter::kernels

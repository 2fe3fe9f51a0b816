// Greedy choice of the next token on the GPU, and the step from one run to the next.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"
#include "kernels/sample/token_choice.h"

namespace sinter::kernels {

// token = the lowest index of the largest logit of row StepState::last_row, after the repetition
// penalty where SamplingOptions has one; NaN never wins, and a row of nothing else gives 0. Then
// the step is taken (token_choice.h). Operands: TokenChoiceShape.
//
// Variants: `wg256` and, with subgroups, `wg256.sg`: many workgroups read the row, and the last one
// to finish chooses.
std::vector<std::string> ArgmaxVariants(const Caps& caps);

// Plans one dispatch. Throws Error: an unknown variant, a type other than f16 and f32.
KernelPlan PlanArgmax(const Caps& caps, const TokenChoiceShape& shape,
                      std::string_view variant = "");

// The definition above for the logits of one row. `seen` has a bit for every token, as on the GPU.
uint32_t ArgmaxReference(std::span<const double> logits, std::span<const uint32_t> seen,
                         double repetition_penalty);

}  // namespace sinter::kernels

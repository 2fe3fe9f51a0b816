// Chooses the next token greedily on the GPU and advances the state to the next run.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"
#include "kernels/sample/token_choice.h"

namespace sinter::kernels {

// Sets the token to the lowest index of the largest logit of the sequence's row, after the
// repetition penalty if SamplingOptions has one, or to a TokenFault. Then advances the state
// (token_choice.h). Operands: TokenChoiceRoles.
//
// Variants: `wg256` and, with subgroups, `wg256.sg`. Many workgroups read the row, and the last one
// to finish chooses.
std::vector<std::string> ArgmaxVariants(const Caps& caps);

// Plans one dispatch. Throws Error for an unknown variant and for a type other than f16 and f32.
KernelPlan PlanArgmax(const Caps& caps, const TokenChoiceShape& shape,
                      std::string_view variant = "");

// Returns the token or TokenFault by the definition above, for the logits of one row. `seen` has a
// bit for every token, as on the GPU.
uint32_t ArgmaxReference(std::span<const double> logits, std::span<const uint32_t> seen,
                         double repetition_penalty);

}  // namespace sinter::kernels

// Chooses the next token at random on the GPU and advances the state to the next run.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"
#include "kernels/sample/token_choice.h"

namespace sinter::kernels {

// The filters, in the order of Hugging Face and ONNX Runtime GenAI:
//   repetition penalty: a seen token's logit l becomes l > 0 ? l / penalty : l * penalty
//   temperature: l / temperature; <= 0 means greedy: the token that argmax chooses, no other filter
//   top-k: keeps every l >= the k-th largest
//   top-p: of the tokens that top-k keeps, keeps every l >= the largest bound T with
//     P(l >= T) >= top_p
//   min-p: keeps P(token) >= min_p * the largest probability
// Tokens that tie with a bound are kept, so that the choice does not depend on the order of a sort.
// A token with a share of all probability below 2^-32 may be dropped. Then one draw by
// Philox2x32-10 (Salmon et al., SC 2011) with counter (position, 0) and key seed, over the tokens
// in the order of their index.
//
// A row from which no token can be chosen gives a TokenFault. Then advances the state
// (token_choice.h). Operands: TokenChoiceRoles.
//
// Variants: `wg256` and, with subgroups, `wg256.sg`.
std::vector<std::string> SampleVariants(const Caps& caps);

// Plans three dispatches, to be run in order over the same operands (each shader says what it
// does). Throws Error for an unknown variant, and for a type other than f16 and f32.
std::vector<KernelPlan> PlanSample(const Caps& caps, const TokenChoiceShape& shape,
                                   std::string_view variant = "");

struct SampleResult {
  uint32_t token = 0;     // or a TokenFault
  uint32_t kept = 0;      // tokens that the filters kept; 0 with a TokenFault
  double share = 1;       // share of all probability of the tokens that top-k kept
  double kept_share = 1;  // share of all probability of the kept tokens
  // Distance from another result, as a share of the mass: of the draw from the border between two
  // tokens, and of the bounds of top-p and min-p from a different decision about some token (1
  // without those). If either is below the GPU's rounding, the tokens may differ.
  double draw_margin = 1;
  double filter_margin = 1;
};

// Computes the definition above in double, for the logits of one row.
SampleResult SampleReference(std::span<const double> logits, std::span<const uint32_t> seen,
                             const SamplingOptions& options, uint32_t seed, uint32_t position);

// Returns the first word of Philox2x32-10 for a counter (position, 0) and a key.
uint32_t PhiloxDraw(uint32_t seed, uint32_t position);

}  // namespace sinter::kernels

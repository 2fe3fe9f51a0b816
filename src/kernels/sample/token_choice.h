// The operands that argmax and sample share: either can be put behind the same logits.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/common/plan_util.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"
#include "kernels/sample/step_state.h"

namespace sinter::kernels {

inline constexpr uint32_t kMaxVocab = 1u << 20;

struct TokenChoiceRoles {
  static constexpr Role kLogits{1}, kState{2, Access::kReadWrite}, kOptions{3},
      kSeen{4, Access::kReadWrite}, kTokens{5, Access::kWrite}, kInputIds{6, Access::kWrite},
      kScratch{7, Access::kReadWrite}, kPositionIds{8, Access::kWrite},
      kTotalLength{9, Access::kWrite};
};

// Bindings: 1 logits [rows, row_stride], 2 state: StepState (read and written), 3 options:
// SamplingOptions, 4 seen u32 [ceil(vocab / 32)] (read and written: bit t % 32 of word t / 32 is
// set where token t is in the prompt or was generated), 5 tokens u32 [ring_size] (written at
// position % ring_size), 6 input_ids i32 (element 0 written), 7 scratch u32
// [TokenChoiceScratchBytes / 4], and as they are there 8 position_ids i32 and 9 total_length i32
// (element 0 of each written).
//
// The step after the choice: the token goes to tokens, input_ids, seen and state.token;
// past_length = total_length, total_length += 1, last_row = 0, position += 1, eos_hit = 1 where the
// token is among eos_tokens. position_ids and total_length become what step_inputs (step_inputs.h)
// would make of them for a run of that one token.
//
// The scratch must be cleared before its first use, and by whoever abandons a choice half way. Its
// counters are 0 again after each. It may be shared by argmax and sample.
struct TokenChoiceShape {
  uint32_t vocab = 1;       // up to kMaxVocab
  uint32_t rows = 1;        // rows of logits; row min(last_row, rows - 1) is used
  uint32_t row_stride = 0;  // elements; 0 means vocab
  uint32_t ring_size = 1;
  DType dtype = DType::kF32;  // of the logits
  // Whether inputs of the next run are bound.
  bool position_ids = false, total_length = false;
};

// Mirrors Params in token_choice.wgsl.
struct TokenChoiceParams {
  uint32_t vocab;
  uint32_t rows;
  uint32_t row_stride;
  uint32_t ring_size;
  uint32_t workgroups;
  uint32_t loads;  // groups of 4 tokens a thread
  uint32_t pad[2];
};
static_assert(sizeof(TokenChoiceParams) == 32);

// Bytes of the scratch for a vocabulary, whichever kernel it is for.
uint64_t TokenChoiceScratchBytes(uint32_t vocab);

// A plan of argmax or sample. Throws
// Error: a type other than f16 and f32, a vocabulary of 0 or more than kMaxVocab tokens.
KernelPlan PlanTokenChoice(const Caps& caps, const TokenChoiceShape& shape, std::string_view kernel,
                           std::string_view wgsl, const WorkgroupVariant& variant);

// One row's logits with the repetition penalty; -inf for NaN. `seen` as on the GPU.
std::vector<double> PenalisedLogits(std::span<const double> logits, std::span<const uint32_t> seen,
                                    double repetition_penalty);

}  // namespace sinter::kernels

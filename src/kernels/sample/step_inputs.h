// Fills the inputs of a program that only count tokens (masks, positions, lengths) from StepState.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/kernel_plan.h"
#include "kernels/operand.h"
#include "kernels/sample/step_state.h"

namespace sinter::kernels {

struct StepInputsRoles {
  static constexpr Role kState{1}, kAttentionMask{2, Access::kWrite},
      kPositionIds{3, Access::kWrite}, kTotalLength{4, Access::kWrite}, kLastRow{5, Access::kWrite},
      kLastPosition{6, Access::kWrite}, kPastLength{7, Access::kWrite};
};

// With end = past_length + sequence. Padding rows of a padded chunk count as real ones, so that
// GroupQueryAttention computes the past as end - sequence. Their keys and values follow every valid
// row, where no valid row sees them, and later runs overwrite them. mask_length must be at least
// end.
//
// Operands, for a batch of B sequences; all but the state are optional:
//   state           StepState [B]
//   attention_mask  i32 [B, mask_length], 1 below end, otherwise 0
//   position_ids    i32 [B, sequence], past_length + i
//   total_length    i32 [B], end
//   last_row        i32 [1], StepState::last_row; 0 with a batch above 1
//   last_position   i32 [B], end - 1
//   past_length     i32 [1], past_length
// A batch above 1 is of runs of one token, whose only row is the last one. It has no past_length:
// that is one number, and each sequence has its own.
struct StepInputsShape {
  uint32_t batch = 1;
  uint32_t sequence = 1;
  uint32_t mask_length = 0;
  bool has_attention_mask = false;
  bool has_position_ids = false;
  bool has_total_length = false;
  bool has_last_row = false;
  bool has_last_position = false;
  bool has_past_length = false;
};

// Mirrors Params in step_inputs.wgsl.
struct StepInputsParams {
  uint32_t sequence;
  uint32_t mask_length;
  uint32_t grid_x;
  uint32_t batch;
};
static_assert(sizeof(StepInputsParams) == 16);

// Plans one dispatch. The only variant is `wg256`; throws Error for another, and for a batch above
// 1 with a sequence above 1 or with past_length.
KernelPlan PlanStepInputs(const Caps& caps, const StepInputsShape& shape,
                          std::string_view variant = "");

}  // namespace sinter::kernels

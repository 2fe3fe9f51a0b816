#include "kernels/sample/step_inputs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {
namespace {

constexpr uint32_t kStepWorkgroupSize = 256;

}  // namespace

KernelPlan PlanStepInputs(const Caps& caps, const StepInputsShape& shape,
                          std::string_view variant) {
  const std::string picked = PickVariant("step_inputs", variant, "wg256", {"wg256"});
  SINTER_CHECK(shape.batch > 0 && shape.sequence > 0 &&
               (!shape.has_attention_mask || shape.mask_length > 0));
  if (shape.batch > 1 && shape.sequence > 1) {
    throw Error("kernels", "step_inputs: got {} sequences of {} tokens a run, want 1 token of each",
                shape.batch, shape.sequence);
  }
  if (shape.batch > 1 && shape.has_past_length) {
    throw Error("kernels",
                "step_inputs: got a graph that reads the length of the past as one number, want "
                "one that does not, for {} sequences",
                shape.batch);
  }

  KernelPlan plan;
  plan.wgsl = "sample/step_inputs.wgsl";
  plan.variant = "step_inputs";
  const auto define = [&](bool on, const char* name) {
    if (!on) return;
    plan.variant += fmt::format(".{}", name);
    plan.defines.push_back(name);
  };
  define(shape.has_attention_mask, "attention_mask");
  define(shape.has_position_ids, "position_ids");
  define(shape.has_total_length, "total_length");
  define(shape.has_last_row, "last_row");
  define(shape.has_last_position, "last_position");
  define(shape.has_past_length, "past_length");
  plan.variant += "." + picked;
  plan.prelude = fmt::format("const kWorkgroupSize = {}u;\n", kStepWorkgroupSize);
  const uint32_t longest =
      std::max(shape.has_attention_mask ? shape.mask_length : 0, shape.sequence);
  plan.workgroups =
      FoldGrid(caps, (uint64_t{longest} + kStepWorkgroupSize - 1) / kStepWorkgroupSize);
  plan.workgroups[2] = shape.batch;
  plan.SetParams(StepInputsParams{.sequence = shape.sequence,
                                  .mask_length = shape.mask_length,
                                  .grid_x = plan.workgroups[0],
                                  .batch = shape.batch});
  return plan;
}

}  // namespace sinter::kernels

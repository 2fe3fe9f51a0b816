#include "kernels/sample/sample.h"

#include "kernels/common/plan_util.h"

namespace sinter::kernels {

std::vector<std::string> SampleVariants(const Caps& caps) {
  return WorkgroupVariantNames(caps, {256});
}

std::vector<KernelPlan> PlanSample(const Caps& caps, const TokenChoiceShape& shape,
                                   std::string_view variant) {
  const WorkgroupVariant picked = PickWorkgroupVariant(caps, "sample", variant, 256, {256});
  return {PlanTokenChoice(caps, shape, "sample_spread", "sample/sample_spread.wgsl", picked),
          PlanTokenChoice(caps, shape, "sample_bounds", "sample/sample_bounds.wgsl", picked),
          PlanTokenChoice(caps, shape, "sample_draw", "sample/sample_draw.wgsl", picked)};
}

}  // namespace sinter::kernels

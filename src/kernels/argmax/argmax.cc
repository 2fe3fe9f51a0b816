#include "kernels/argmax/argmax.h"

#include "kernels/common/plan_util.h"

namespace sinter::kernels {

std::vector<std::string> ArgmaxVariants(const Caps& caps) {
  return WorkgroupVariantNames(caps, {256});
}

KernelPlan PlanArgmax(const Caps& caps, const TokenChoiceShape& shape, std::string_view variant) {
  const WorkgroupVariant picked = PickWorkgroupVariant(caps, "argmax", variant, 256, {256});
  return PlanTokenChoice(caps, shape, "argmax", "argmax/argmax.wgsl", picked);
}

}  // namespace sinter::kernels

#include "kernels/argmax/argmax.h"

#include "kernels/common/plan_util.h"

namespace sinter::kernels {

std::vector<std::string> ArgmaxVariants(const Caps& caps) {
  return WithSubgroupVariants(caps, {"wg256"});
}

KernelPlan PlanArgmax(const Caps& caps, const TokenChoiceShape& shape, std::string_view variant) {
  const std::string picked =
      PickVariant("argmax", variant, caps.subgroups ? "wg256.sg" : "wg256", ArgmaxVariants(caps));
  return PlanTokenChoice(caps, shape, "argmax", "argmax/argmax.wgsl", picked);
}

}  // namespace sinter::kernels

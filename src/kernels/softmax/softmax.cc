#include "kernels/softmax/softmax.h"

#include <fmt/format.h>

#include "base/check.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {

std::vector<std::string> SoftmaxVariants(const Caps& caps) {
  return WorkgroupVariantNames(caps, {64, 256});
}

KernelPlan PlanSoftmax(const Caps& caps, const SoftmaxShape& shape, std::string_view variant) {
  const std::string_view act = FloatWgslType(caps, "softmax", shape.dtype);
  SINTER_CHECK(shape.axis > 0 && shape.inner > 0, "softmax of empty rows");
  const WorkgroupVariant picked =
      PickWorkgroupVariant(caps, "softmax", variant, shape.axis >= 512 ? 256 : 64, {64, 256});

  KernelPlan plan;
  plan.wgsl = "softmax/softmax.wgsl";
  plan.variant = fmt::format("softmax.{}.{}", act, picked.name());
  if (act == "f16") plan.defines.push_back("f16");
  if (picked.subgroups) plan.defines.push_back("subgroups");
  plan.prelude =
      fmt::format("alias act_t = {};\nconst kWorkgroupSize = {}u;\n", act, picked.threads);
  const uint64_t rows = uint64_t{shape.outer} * shape.inner;
  plan.workgroups = FoldGrid(caps, rows);
  plan.SetParams(SoftmaxParams{.rows = static_cast<uint32_t>(rows),
                               .axis = shape.axis,
                               .inner = shape.inner,
                               .grid_x = plan.workgroups[0]});
  return plan;
}

}  // namespace sinter::kernels

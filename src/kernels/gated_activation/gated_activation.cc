#include "kernels/gated_activation/gated_activation.h"

#include <fmt/format.h>

#include "base/check.h"
#include "kernels/common/indexing.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {
namespace {

std::string_view FunctionName(GatedActivation activation) {
  switch (activation) {
    case GatedActivation::kGelu:
      return "gelu";
    case GatedActivation::kGeluTanh:
      return "gelu_tanh";
    default:
      return "silu";
  }
}

}  // namespace

std::vector<std::string> GatedActivationVariants(const GatedActivationShape& shape) {
  if (shape.cols % 4 == 0) return {"vec4", "scalar"};
  return {"scalar"};
}

KernelPlan PlanGatedActivation(const Caps& caps, const GatedActivationShape& shape,
                               std::string_view variant) {
  const std::string_view act = FloatWgslType(caps, "gated_activation", shape.dtype);
  SINTER_CHECK(shape.rows > 0 && shape.cols > 0, "gated_activation of no elements");
  const std::vector<std::string> known = GatedActivationVariants(shape);
  const std::string picked = PickVariant("gated_activation", variant, known.front(), known);
  const bool vec4 = picked == "vec4";

  KernelPlan plan;
  plan.wgsl = "gated_activation/gated_activation.wgsl";
  plan.variant =
      fmt::format("gated_activation.{}.{}.{}", FunctionName(shape.activation), act, picked);
  if (act == "f16") plan.defines.emplace_back("f16");
  if (vec4) plan.defines.emplace_back("vec4");
  plan.prelude = fmt::format(
      "alias act_v = {};\nfn activation(x: f32) -> f32 {{ return {}(x); }}\n",
      vec4 ? fmt::format("vec4<{}>", act) : std::string(act), FunctionName(shape.activation));
  const uint32_t cols = vec4 ? shape.cols / 4 : shape.cols;
  const int64_t threads = NumElems(std::array{int64_t{shape.rows}, int64_t{cols}});
  plan.workgroups = FoldGrid(caps, (threads + kElementwiseThreads - 1) / kElementwiseThreads);
  plan.SetParams(GatedActivationParams{.threads = static_cast<uint32_t>(threads),
                                       .cols = cols,
                                       .grid_x = plan.workgroups[0],
                                       .pad = 0});
  return plan;
}

}  // namespace sinter::kernels

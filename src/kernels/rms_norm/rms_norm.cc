#include "kernels/rms_norm/rms_norm.h"

#include <fmt/format.h>

#include "base/check.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {

std::vector<std::string> RmsNormVariants(const Caps& caps) {
  return WorkgroupVariantNames(caps, {64, 256});
}

KernelPlan PlanRmsNorm(const Caps& caps, const RmsNormShape& shape, std::string_view variant) {
  const std::string_view in = FloatWgslType(caps, "rms_norm", shape.dtype);
  const std::string_view scale = FloatWgslType(caps, "rms_norm", shape.scale_dtype);
  const std::string_view out = FloatWgslType(caps, "rms_norm", shape.output_dtype);
  SINTER_CHECK(shape.cols > 0, "rms_norm of empty rows");
  // 256 threads pay for their barrier from one vec4 per thread on.
  const WorkgroupVariant picked =
      PickWorkgroupVariant(caps, "rms_norm", variant, shape.cols >= 1024 ? 256 : 64, {64, 256});
  const bool vec4 = shape.cols % 4 == 0;

  KernelPlan plan;
  plan.wgsl = "rms_norm/rms_norm.wgsl";
  plan.variant = fmt::format("rms_norm.{}.{}.{}", in, scale, out);
  const auto define = [&](bool on, const char* name) {
    if (!on) return;
    plan.variant += fmt::format(".{}", name);
    plan.defines.push_back(name);
  };
  define(shape.has_skip, "skip");
  define(shape.has_bias, "bias");
  define(shape.has_inv_std, "inv_std");
  define(shape.has_sum, "sum");
  define(vec4, "vec4");
  plan.variant += fmt::format(".{}", picked.name());
  if (in == "f16" || scale == "f16" || out == "f16") plan.defines.push_back("f16");
  if (picked.subgroups) plan.defines.push_back("subgroups");
  const auto alias = [&](std::string_view name, std::string_view type) {
    plan.prelude += vec4 ? fmt::format("alias {} = vec4<{}>;\n", name, type)
                         : fmt::format("alias {} = {};\n", name, type);
  };
  alias("in_v", in);
  alias("scale_v", scale);
  alias("out_v", out);
  alias("acc_v", "f32");
  plan.prelude +=
      fmt::format("const kVec = {}u;\nconst kWorkgroupSize = {}u;\n", vec4 ? 4 : 1, picked.threads);
  plan.workgroups = FoldGrid(caps, shape.rows);
  plan.SetParams(RmsNormParams{.rows = shape.rows,
                               .cols = shape.cols,
                               .skip_rows = shape.skip_rows == 0 ? shape.rows : shape.skip_rows,
                               .grid_x = plan.workgroups[0],
                               .epsilon = shape.epsilon,
                               .pad = {}});
  return plan;
}

}  // namespace sinter::kernels

#include "kernels/layer_norm/layer_norm.h"

#include <fmt/format.h>

#include "base/check.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {

std::vector<std::string> LayerNormVariants(const Caps& caps) {
  return WorkgroupVariantNames(caps, {64, 256});
}

KernelPlan PlanLayerNorm(const Caps& caps, const LayerNormShape& shape, std::string_view variant) {
  const std::string_view in = FloatWgslType(caps, "layer_norm", shape.dtype);
  const std::string_view scale = FloatWgslType(caps, "layer_norm", shape.scale_dtype);
  const std::string_view out = FloatWgslType(caps, "layer_norm", shape.output_dtype);
  SINTER_CHECK(shape.cols > 0, "layer_norm of empty rows");
  // 256 threads pay for their barriers from one vec4 per thread on, as in rms_norm.
  const WorkgroupVariant picked =
      PickWorkgroupVariant(caps, "layer_norm", variant, shape.cols >= 1024 ? 256 : 64, {64, 256});
  const bool vec4 = shape.cols % 4 == 0;

  KernelPlan plan;
  plan.wgsl = "layer_norm/layer_norm.wgsl";
  plan.variant = fmt::format("layer_norm.{}.{}.{}", in, scale, out);
  const auto define = [&](bool on, const char* name) {
    if (!on) return;
    plan.variant += fmt::format(".{}", name);
    plan.defines.emplace_back(name);
  };
  define(shape.has_bias, "bias");
  define(shape.has_mean, "mean");
  define(shape.has_inv_std, "inv_std");
  define(vec4, "vec4");
  plan.variant += fmt::format(".{}", picked.name());
  if (in == "f16" || scale == "f16" || out == "f16") plan.defines.emplace_back("f16");
  if (picked.subgroups) plan.defines.emplace_back("subgroups");
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
  plan.SetParams(LayerNormParams{.rows = shape.rows,
                                 .cols = shape.cols,
                                 .grid_x = plan.workgroups[0],
                                 .epsilon = shape.epsilon});
  return plan;
}

}  // namespace sinter::kernels

#include "kernels/matrix_peak/matrix_peak.h"

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/common/matrix_config.h"

namespace sinter::kernels {
namespace {

SubgroupMatrixConfig ConfigOf(const Caps& caps) {
  const auto config = FindMatrixConfig(caps);
  if (!config) {
    throw Error(
        "kernels",
        "matrix_peak: got an adapter without f16 matrices with f32 sums, want one that has them");
  }
  return *config;
}

}  // namespace

KernelPlan PlanMatrixPeak(const Caps& caps, const MatrixPeakShape& shape,
                          std::string_view variant) {
  if (!variant.empty() && variant != "f16") ThrowUnknownVariant("matrix_peak", variant, {"f16"});
  const uint32_t limit = caps.limits.max_workgroups_per_dimension;
  if (shape.workgroups < 1 || shape.workgroups > limit) {
    throw Error("kernels", "matrix_peak: got {} workgroups, want 1 to {}", shape.workgroups, limit);
  }
  const SubgroupMatrixConfig config = ConfigOf(caps);
  const uint32_t subgroup_size = caps.fixed_subgroup_size();
  KernelPlan plan;
  plan.variant =
      fmt::format("matrix_peak.f16.sg{}.{}x{}x{}", subgroup_size, config.m, config.n, config.k);
  plan.wgsl = "matrix_peak/matrix_peak.wgsl";
  plan.prelude = fmt::format(
      "const kMatM = {}u;\nconst kMatN = {}u;\nconst kMatK = {}u;\nconst kSubgroup = {}u;\n",
      config.m, config.n, config.k, subgroup_size);
  plan.defines = {"f16", "subgroups", "subgroup_matrix"};
  plan.workgroups = {shape.workgroups, 1, 1};
  plan.SetParams(MatrixPeakParams{shape.rounds, {}});
  return plan;
}

double MatrixPeakFlops(const Caps& caps, const MatrixPeakShape& shape) {
  const SubgroupMatrixConfig config = ConfigOf(caps);
  return 2.0 * config.m * config.n * config.k * kMatrixPeakProducts * kMatrixPeakSubgroups *
         shape.workgroups * shape.rounds;
}

}  // namespace sinter::kernels

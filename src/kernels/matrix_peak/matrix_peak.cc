#include "kernels/matrix_peak/matrix_peak.h"

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/common/matrix_config.h"
#include "kernels/measure.h"
#include "kernels/record_plan.h"

namespace sinter::kernels {
namespace {

constexpr uint32_t kSubgroups = 4, kProducts = 16;

gpu::SubgroupMatrixConfig ConfigOf(const gpu::Caps& caps) {
  const auto config = FindMatrixConfig(caps);
  if (!config) {
    throw Error("kernels", "matrix_peak: got no matrices of f16 with f32 sums, want some");
  }
  return *config;
}

}  // namespace

KernelPlan PlanMatrixPeak(const gpu::Caps& caps, const MatrixPeakShape& shape,
                          std::string_view variant) {
  if (!variant.empty() && variant != "f16") ThrowUnknownVariant("matrix_peak", variant, {"f16"});
  const uint32_t limit = caps.limits.max_workgroups_per_dimension;
  if (shape.workgroups < 1 || shape.workgroups > limit) {
    throw Error("kernels", "matrix_peak: got {} workgroups, want 1 to {}", shape.workgroups, limit);
  }
  const gpu::SubgroupMatrixConfig config = ConfigOf(caps);
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

double MatrixPeakFlops(const gpu::Caps& caps, const MatrixPeakShape& shape) {
  const gpu::SubgroupMatrixConfig config = ConfigOf(caps);
  return 2.0 * config.m * config.n * config.k * kProducts * kSubgroups * shape.workgroups *
         shape.rounds;
}

double MeasureMatrixPeak(gpu::Device& device) {
  const auto config = FindMatrixConfig(device.caps());
  if (!config) return 0;
  MatrixPeakShape shape;
  // A CPU has few threads and no matrix units.
  if (device.adapter().software) shape = {.workgroups = 4, .rounds = 64};
  const gpu::Buffer lefts =
      device.CreateBuffer(uint64_t{4} * config->m * config->k * 2, "matrix_peak lefts");
  const gpu::Buffer rights =
      device.CreateBuffer(uint64_t{4} * config->k * config->n * 2, "matrix_peak rights");
  const gpu::Buffer sums = device.CreateBuffer(
      uint64_t{shape.workgroups} * kSubgroups * kProducts * config->m * config->n * 4,
      "matrix_peak sums");
  // Ones, rather than what the memory happens to hold: zeros take less power, and NaNs are odd.
  const std::vector<uint16_t> ones(lefts.size_bytes() / 2, 0x3c00);
  device.Upload(lefts, 0, std::as_bytes(std::span(ones)));
  const std::vector<uint16_t> more_ones(rights.size_bytes() / 2, 0x3c00);
  device.Upload(rights, 0, std::as_bytes(std::span(more_ones)));
  gpu::CommandList list(device);
  const gpu::Buffer buffers[] = {lefts, rights, sums};
  RecordPlan(device, PlanMatrixPeak(device.caps(), shape), buffers, list, "matrix_peak");
  return MatrixPeakFlops(device.caps(), shape) / MedianSeconds(device, list);
}

}  // namespace sinter::kernels

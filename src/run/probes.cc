#include "run/probes.h"

#include <algorithm>
#include <vector>

#include "kernels/bandwidth/bandwidth.h"
#include "kernels/common/matrix_config.h"
#include "kernels/matrix_peak/matrix_peak.h"
#include "run/measure.h"
#include "run/record_plan.h"

namespace sinter::run {
namespace {

constexpr uint64_t kBytes = uint64_t{1} << 30;
constexpr uint64_t kSoftwareBytes = uint64_t{64} << 20;

}  // namespace

double MeasureReadBandwidth(gpu::Device& device, uint64_t bytes) {
  if (bytes == 0) bytes = device.adapter().software ? kSoftwareBytes : kBytes;
  const Limits& limits = device.caps().limits;
  const uint64_t largest =
      std::min({limits.max_storage_binding_bytes, limits.max_buffer_size, bytes}) / 16 * 16;
  kernels::BandwidthShape shape{.bytes = largest};
  // A software GPU has few threads and starts workgroups slowly.
  if (device.adapter().software) shape.workgroups = 64;
  const kernels::KernelPlan plan = kernels::PlanBandwidth(device.caps(), shape);
  const gpu::Buffer sums = device.CreateBuffer(
      uint64_t{shape.workgroups} * kernels::kBandwidthWorkgroup * 4, "bandwidth sums");
  gpu::CommandList list(device);
  uint64_t total = 0;
  for (; total < bytes; total += largest) {
    const gpu::Buffer data = device.CreateBuffer(largest, "bandwidth");
    // Memory that was never written may have no physical pages, so write it first.
    gpu::CommandList clear(device);
    clear.Clear(data, 0, largest);
    device.Submit(clear);
    const RoleBuffer buffers[] = {{kernels::BandwidthRoles::kData, data},
                                  {kernels::BandwidthRoles::kSums, sums}};
    RecordPlan(device, plan, buffers, list, "bandwidth");
  }
  return static_cast<double>(total) / MedianSeconds(device, list);
}

double MeasureMatrixPeak(gpu::Device& device) {
  const auto config = kernels::FindMatrixConfig(device.caps());
  if (!config) return 0;
  kernels::MatrixPeakShape shape;
  // A software GPU has few threads and no matrix units.
  if (device.adapter().software) shape = {.workgroups = 4, .rounds = 64};
  const gpu::Buffer lefts =
      device.CreateBuffer(uint64_t{4} * config->m * config->k * 2, "matrix_peak lefts");
  const gpu::Buffer rights =
      device.CreateBuffer(uint64_t{4} * config->k * config->n * 2, "matrix_peak rights");
  const gpu::Buffer sums =
      device.CreateBuffer(uint64_t{shape.workgroups} * kernels::kMatrixPeakSubgroups *
                              kernels::kMatrixPeakProducts * config->m * config->n * 4,
                          "matrix_peak sums");
  // Fill with ones instead of leaving the memory uninitialized: zeros draw less power, and NaNs may
  // be treated specially.
  const std::vector<uint16_t> ones(lefts.size_bytes() / 2, 0x3c00);
  device.Upload(lefts, 0, std::as_bytes(std::span(ones)));
  const std::vector<uint16_t> more_ones(rights.size_bytes() / 2, 0x3c00);
  device.Upload(rights, 0, std::as_bytes(std::span(more_ones)));
  gpu::CommandList list(device);
  const RoleBuffer buffers[] = {{kernels::MatrixPeakRoles::kLefts, lefts},
                                {kernels::MatrixPeakRoles::kRights, rights},
                                {kernels::MatrixPeakRoles::kSums, sums}};
  RecordPlan(device, kernels::PlanMatrixPeak(device.caps(), shape), buffers, list, "matrix_peak");
  return kernels::MatrixPeakFlops(device.caps(), shape) / MedianSeconds(device, list);
}

}  // namespace sinter::run

#include "kernels/bandwidth/bandwidth.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/measure.h"
#include "kernels/record_plan.h"

namespace sinter::kernels {
namespace {

constexpr uint64_t kBytes = uint64_t{1} << 30;
constexpr uint64_t kSoftwareBytes = uint64_t{64} << 20;

}  // namespace

KernelPlan PlanBandwidth(const gpu::Caps& caps, const BandwidthShape& shape,
                         std::string_view variant) {
  if (!variant.empty() && variant != "vec4") ThrowUnknownVariant("bandwidth", variant, {"vec4"});
  const uint32_t limit = caps.limits.max_workgroups_per_dimension;
  if (shape.workgroups < 1 || shape.workgroups > limit) {
    throw Error("kernels", "bandwidth: got {} workgroups, want 1 to {}", shape.workgroups, limit);
  }
  // So that an index four strides past the end still fits 32 bits.
  constexpr uint64_t kMaxBytes = (uint64_t{1} << 31) * 16;
  if (shape.bytes == 0 || shape.bytes % 16 != 0 || shape.bytes >= kMaxBytes) {
    throw Error("kernels", "bandwidth: got {} bytes, want a multiple of 16 below {}", shape.bytes,
                kMaxBytes);
  }
  KernelPlan plan;
  plan.variant = "bandwidth.vec4";
  plan.wgsl = "bandwidth/bandwidth.wgsl";
  plan.workgroups = {shape.workgroups, 1, 1};
  plan.SetParams(BandwidthParams{
      static_cast<uint32_t>(shape.bytes / 16), shape.workgroups * kBandwidthWorkgroup, {}});
  return plan;
}

double MeasureReadBandwidth(gpu::Device& device, uint64_t bytes) {
  if (bytes == 0) bytes = device.adapter().software ? kSoftwareBytes : kBytes;
  const gpu::Limits& limits = device.caps().limits;
  const uint64_t largest =
      std::min({limits.max_storage_binding_bytes, limits.max_buffer_size, bytes}) / 16 * 16;
  BandwidthShape shape{.bytes = largest};
  // A CPU has few threads, and starts workgroups slowly.
  if (device.adapter().software) shape.workgroups = 64;
  const KernelPlan plan = PlanBandwidth(device.caps(), shape);
  const gpu::Buffer sums =
      device.CreateBuffer(uint64_t{shape.workgroups} * kBandwidthWorkgroup * 4, "bandwidth sums");
  gpu::CommandList list(device);
  uint64_t total = 0;
  for (; total < bytes; total += largest) {
    const gpu::Buffer data = device.CreateBuffer(largest, "bandwidth");
    // Memory that was never written may not be there at all.
    gpu::CommandList clear(device);
    clear.Clear(data, 0, largest);
    device.Submit(clear);
    const gpu::Buffer buffers[] = {data, sums};
    RecordPlan(device, plan, buffers, list, "bandwidth");
  }
  return static_cast<double>(total) / MedianSeconds(device, list);
}

}  // namespace sinter::kernels

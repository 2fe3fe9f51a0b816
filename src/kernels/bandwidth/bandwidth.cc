#include "kernels/bandwidth/bandwidth.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "kernels/record_plan.h"

namespace sinter::kernels {
namespace {

constexpr uint64_t kBytes = uint64_t{1} << 30;
constexpr uint64_t kSoftwareBytes = uint64_t{64} << 20;
constexpr int kRuns = 9;

// Seconds that the GPU took for the list: by timestamps where it has them.
double SecondsOf(gpu::Device& device, const gpu::CommandList& list) {
  if (device.caps().timestamps) {
    double nanoseconds = 0;
    for (const double dispatch : device.SubmitProfiled(list)) nanoseconds += dispatch;
    if (nanoseconds > 0) return nanoseconds * 1e-9;
  }
  device.Wait();
  const auto start = std::chrono::steady_clock::now();
  device.Submit(list);
  device.Wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

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
  std::vector<double> seconds;
  for (int run = 0; run <= kRuns; ++run) {
    const double time = SecondsOf(device, list);
    if (run > 0) seconds.push_back(time);  // the first one warms up
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRuns / 2, seconds.end());
  return static_cast<double>(total) / seconds[kRuns / 2];
}

}  // namespace sinter::kernels

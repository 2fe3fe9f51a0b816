#include "kernels/bandwidth/bandwidth.h"

#include "base/error.h"

namespace sinter::kernels {
KernelPlan PlanBandwidth(const Caps& caps, const BandwidthShape& shape, std::string_view variant) {
  if (!variant.empty() && variant != "vec4") ThrowUnknownVariant("bandwidth", variant, {"vec4"});
  const uint32_t limit = caps.limits.max_workgroups_per_dimension;
  if (shape.workgroups < 1 || shape.workgroups > limit) {
    throw Error("kernels", "bandwidth: got {} workgroups, want 1 to {}", shape.workgroups, limit);
  }
  // Bound below which an index four strides past the end still fits 32 bits.
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

}  // namespace sinter::kernels

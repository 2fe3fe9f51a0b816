// A kernel that only reads memory, to measure an adapter's bandwidth (run/probes.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

inline constexpr uint32_t kBandwidthWorkgroup = 256;

struct BandwidthRoles {
  static constexpr Role kData{1}, kSums{2, Access::kWrite};
};

struct BandwidthShape {
  uint64_t bytes = 0;          // size of the buffer; a multiple of 16, below 32 GiB
  uint32_t workgroups = 2112;  // 16 for each of an H200's 132 multiprocessors; at most 65535
};

// Mirrors Params in bandwidth.wgsl.
struct BandwidthParams {
  uint32_t count, threads, pad[2];
};
static_assert(sizeof(BandwidthParams) == 16 && offsetof(BandwidthParams, threads) == 4);

// Plans one dispatch: sums[t] = exclusive or of the words of every vec4 of `data` whose index is t
// modulo the number of threads. `data` is read, `sums` has a u32 per thread. The only variant is
// `vec4`. Throws Error for a shape out of range.
KernelPlan PlanBandwidth(const Caps& caps, const BandwidthShape& shape,
                         std::string_view variant = "");

// Returns the `threads` sums by the definition above.
std::vector<uint32_t> BandwidthReference(std::span<const uint32_t> data, uint32_t threads);

}  // namespace sinter::kernels

// A kernel that only multiplies matrices, to measure the speed of an adapter's matrix units
// (run/probes.h).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

// Subgroups of a workgroup, and products that each of them sums.
inline constexpr uint32_t kMatrixPeakSubgroups = 4, kMatrixPeakProducts = 16;

struct MatrixPeakRoles {
  static constexpr Role kLefts{1}, kRights{2}, kSums{3, Access::kWrite};
};

struct MatrixPeakShape {
  uint32_t workgroups = 528;  // of 4 subgroups; 4 for each of an H200's 132 multiprocessors
  uint32_t rounds = 1024;
};

// Mirrors Params in matrix_peak.wgsl.
struct MatrixPeakParams {
  uint32_t rounds, pad[3];
};
static_assert(sizeof(MatrixPeakParams) == 16);

// Plans one dispatch: sums[s][4 i + j] = rounds * lefts[i] x rights[j] for every subgroup s, on the
// adapter's largest product of f16 with f32 sums [m, k] x [k, n]. Operands: lefts [4, m, k] and
// rights [4, k, n] f16, sums [4 * workgroups, 16, m, n] f32. The only variant is `f16`. Throws
// Error for a shape out of range, and if the adapter has no such matrices.
KernelPlan PlanMatrixPeak(const Caps& caps, const MatrixPeakShape& shape,
                          std::string_view variant = "");

// Returns the floating point operations of one dispatch; a multiplication and an addition are two.
double MatrixPeakFlops(const Caps& caps, const MatrixPeakShape& shape);

// Returns the sums by the definition above, for products of the given size.
std::vector<double> MatrixPeakReference(const MatrixPeakShape& shape, uint32_t m, uint32_t n,
                                        uint32_t k, std::span<const double> lefts,
                                        std::span<const double> rights);

}  // namespace sinter::kernels

// How fast an adapter's matrix units multiply: a kernel that does nothing else, and the measurement
// with it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gpu/device.h"
#include "kernels/kernel_plan.h"

namespace sinter::kernels {

struct MatrixPeakShape {
  uint32_t workgroups = 528;  // of 4 subgroups; 4 for each of an H200's 132 multiprocessors
  uint32_t rounds = 1024;
};

// Mirrors Params in matrix_peak.wgsl.
struct MatrixPeakParams {
  uint32_t rounds, pad[3];
};
static_assert(sizeof(MatrixPeakParams) == 16);

// sums[s][4 i + j] = rounds * lefts[i] x rights[j] for every subgroup s, on the adapter's largest
// product of f16 with f32 sums [m, k] x [k, n]. Bindings: lefts [4, m, k], rights [4, k, n] (f16),
// sums [4 * workgroups, 16, m, n] (f32, written). One variant, `f16`. Throws Error for a shape out
// of range, or where the adapter has no such matrices.
KernelPlan PlanMatrixPeak(const gpu::Caps& caps, const MatrixPeakShape& shape,
                          std::string_view variant = "");

// Floating point operations (a multiplication and an addition are two) of one dispatch.
double MatrixPeakFlops(const gpu::Caps& caps, const MatrixPeakShape& shape);

// The definition above, for products of the given size.
std::vector<double> MatrixPeakReference(const MatrixPeakShape& shape, uint32_t m, uint32_t n,
                                        uint32_t k, std::span<const double> lefts,
                                        std::span<const double> rights);

// Floating point operations a second on matrices of f16 with f32 sums; 0 where the adapter has
// none. Takes about 20 ms of a large GPU.
double MeasureMatrixPeak(gpu::Device& device);

}  // namespace sinter::kernels

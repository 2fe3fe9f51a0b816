// ONNX MatMul: Y[b, M, N] = A[b, M, K] x B[b, K, N], batch dimensions broadcast.
//
// Bindings: 0 params, 1 A, 2 B, 3 Y; all act_t, sums in f32.
// One-dimensional operands are the caller's to view: A [K] as m = 1, B [K] as n = 1.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "kernels/kernel_plan.h"

namespace sinter::kernels {

struct MatMulShape {
  uint32_t m = 1, n = 1, k = 1;
  DType dtype = DType::kF32;  // kF32 or kF16
  // Batch dimensions of A and B (all but the last two), aligned at the end as NumPy broadcasts
  // them. After folding dimensions that broadcast alike at most 4 may be left.
  std::vector<uint32_t> a_batch, b_batch;
};

// The batch dimensions of Y. Throws Error where those of A and B do not broadcast.
std::vector<uint32_t> MatMulBatch(const MatMulShape& shape);

// Mirrors struct Params in matmul_inputs.wgsl.
struct MatMulParams {
  uint32_t m, n, k;
  uint32_t grid_x;
  // Batch dimensions of Y, the last one fastest, and how many matrices A and B advance along each.
  std::array<uint32_t, 4> batch, a_stride, b_stride;
};
static_assert(sizeof(MatMulParams) == 64);
static_assert(offsetof(MatMulParams, batch) == 16);

// Variants: `vec` (few rows: a thread a column, K split over the workgroup), `tile` (tiles in
// workgroup memory), `matrix` (tiles on the matrix units, f16 only; `matrix.64x64x32.2x2` and
// others force a tile). Throws Error for batch dimensions that do not broadcast or that need more
// than 4 strides, or for an unknown variant.
KernelPlan PlanMatMul(const gpu::Caps& caps, const MatMulShape& shape,
                      std::string_view variant = "");

// What PlanMatMul can be forced to for the type on this adapter.
std::vector<std::string> MatMulVariants(const gpu::Caps& caps, DType dtype);

// Y [batch..., M, N] in double.
std::vector<double> MatMulReference(const MatMulShape& shape, std::span<const double> a,
                                    std::span<const double> b);

}  // namespace sinter::kernels

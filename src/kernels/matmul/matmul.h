// ONNX MatMul: Y[b, M, N] = A[b, M, K] x B[b, K, N], batch dimensions broadcast.
//
// Operands: A, B and Y, all act_t; sums are f32. A part of K also binds sums_of_parts f32 [m_count,
// N], the sums of the previous parts; only the last part binds Y. The caller views a
// one-dimensional A [K] as m = 1 and a one-dimensional B [K] as n = 1.
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
#include "kernels/operand.h"

namespace sinter::kernels {

struct MatMulRoles {
  static constexpr Role kA{1}, kB{2}, kY{3, Access::kWrite}, kSumsOfParts{4, Access::kReadWrite};
};

struct MatMulShape {
  uint32_t m = 1, n = 1, k = 1;
  DType dtype = DType::kF32;  // kF32 or kF16
  // Batch dimensions of A and B (all but the last two), aligned at the end as NumPy broadcasts
  // them. At most 4 may remain after merging dimensions that broadcast alike.
  std::vector<uint32_t> a_batch, b_batch;
  // A part of the product, if there is no batch: rows [m_begin, m_begin + m_count) of A and Y,
  // which are bound whole, and rows [k_begin, k_begin + k_count) of B, of which only those are
  // bound. Counts of 0 mean all. The parts of K run in order: the first writes the sums, the others
  // add to them, and the last one writes its sums to Y instead, rounded once.
  uint32_t m_begin = 0, m_count = 0, k_begin = 0, k_count = 0;

  uint32_t rows() const { return m_count == 0 ? m : m_count; }
  uint32_t depth() const { return k_count == 0 ? k : k_count; }
  bool partial() const { return depth() < k; }
  bool finishes() const { return k_begin + depth() == k; }
};

// Returns the batch dimensions of Y. Throws Error if those of A and B do not broadcast.
std::vector<uint32_t> MatMulBatch(const MatMulShape& shape);

// Mirrors struct Params in matmul_inputs.wgsl.
struct MatMulParams {
  uint32_t m, n, k;
  uint32_t grid_x;
  // Batch dimensions of Y, the last one fastest, and the number of matrices that A and B advance
  // along each.
  std::array<uint32_t, 4> batch, a_stride, b_stride;
  // Elements from one row of A to the next, offsets of the part in A and in Y, and whether the sums
  // of the previous parts are added.
  uint32_t a_row, a_first, y_first, accumulate;
};
static_assert(sizeof(MatMulParams) == 80);
static_assert(offsetof(MatMulParams, batch) == 16);
static_assert(offsetof(MatMulParams, a_row) == 64);

// Plans one dispatch. Throws Error for an unknown variant, and for batch dimensions that do not
// broadcast or need more than 4 strides.
//
// - `vec`, for few rows: a thread computes a column, and the workgroup splits K.
// - `tile`: tiles in workgroup memory.
// - `matrix`, for f16: tiles on the matrix units; `matrix.64x64x32.2x2` and others select a tile.
KernelPlan PlanMatMul(const Caps& caps, const MatMulShape& shape, std::string_view variant = "");

// Returns the parts of rows and of K whose dispatches together compute all of Y, in the order in
// which they run, for a shape without batches. B's rows and the f32 sums of each fit a binding.
// Returns the shape itself if it fits. Throws Error if not even a few rows of B fit.
std::vector<MatMulShape> SplitMatMul(const Caps& caps, const MatMulShape& shape);

// Returns the variants that PlanMatMul can be forced to for the type on this adapter.
std::vector<std::string> MatMulVariants(const Caps& caps, DType dtype);

// Returns Y [batch..., M, N] in double.
std::vector<double> MatMulReference(const MatMulShape& shape, std::span<const double> a,
                                    std::span<const double> b);

}  // namespace sinter::kernels

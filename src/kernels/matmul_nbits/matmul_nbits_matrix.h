// The plan of MatMulNBits for many rows on the matrix units; matmul_nbits_matrix.wgsl has the
// maths.
//
// Bindings: those of matmul_nbits.h, and 7 residual [M, N] where the shape has one. All of act_t
// are f16. Weights are rounded to f16 once dequantized; sums are f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// What does not change the result but for the order of sums, and is chosen by measurement.
struct MatrixTuning {
  uint32_t tile_m = 64, tile_n = 64;  // of Y, a workgroup's; with a gate tile_n / 2 of either half
  uint32_t step = 32;                 // of K, between two barriers
  uint32_t rows = 2, cols = 2;        // matrices of sums that a subgroup has: 1, 2 or 4 each
  uint32_t split = 1;    // subgroups that share the products of a place, by slices of K
  uint32_t buffers = 2;  // steps in workgroup memory: 1 or 2
};

// Mirrors struct Params in matmul_nbits_matrix.wgsl.
struct MatMulNBitsMatrixParams {
  uint32_t m, n, k;
  uint32_t n_begin, n_count;
  uint32_t blocks;                 // a row
  uint32_t row_units;              // loads of B a row
  uint32_t zero_points_row_bytes;  // of packed zero points
};
static_assert(sizeof(MatMulNBitsMatrixParams) == 32);
static_assert(offsetof(MatMulNBitsMatrixParams, row_units) == 24);

// `matrix.128x64x32.4x2`; with `.k2` behind it for a split in two, `.single` for one buffer.
std::string MatrixVariant(const MatrixTuning& tuning);

// Those that this adapter can run the shape with, the best guess first. Empty where it has no f16
// matrices with f32 sums, its subgroups vary in size, or the activations are not f16.
std::vector<MatrixTuning> MatrixTunings(const gpu::Caps& caps, const MatMulNBitsShape& shape);

// `tuning` as MatrixTunings() gives for this shape. Throws BugError for another.
KernelPlan PlanMatMulNBitsMatrix(const gpu::Caps& caps, const MatMulNBitsShape& shape,
                                 const MatrixTuning& tuning);

}  // namespace sinter::kernels

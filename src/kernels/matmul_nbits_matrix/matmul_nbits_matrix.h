// The plan of MatMulNBits for many rows on the matrix units; matmul_nbits_matrix.wgsl has the
// maths.
//
// Bindings: those of matmul_nbits.h, 7 residual [M, N] where the shape has one, and 12 scratch
// where the plan has words of it. All of act_t are f16. Weights are rounded to f16 once
// dequantized; sums are f32.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/common/matrix_tile.h"
#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// Of a gated product a workgroup's tile has n / 2 columns of either half.
using MatrixTuning = MatrixTile;

// Mirrors struct Params in matmul_nbits_matrix.wgsl.
struct MatMulNBitsMatrixParams {
  uint32_t m, n;
  uint32_t n_begin, n_count;
};
static_assert(sizeof(MatMulNBitsMatrixParams) == 16);

// `matrix.128x64x32.4x2`: what a plan can be forced to.
std::string MatrixVariant(const MatrixTuning& tuning);

// Those that this adapter can run the shape with, the best guess first. Empty where it has no f16
// matrices with f32 sums, its subgroups vary in size, or the activations are not f16.
std::vector<MatrixTuning> MatrixTunings(const Caps& caps, const MatMulNBitsShape& shape);

// The most scratch that any of them has.
uint64_t MatrixScratchWords(const Caps& caps, const MatMulNBitsShape& shape);

// `tuning` as MatrixTunings() gives for this shape. Throws BugError for another.
KernelPlan PlanMatMulNBitsMatrix(const Caps& caps, const MatMulNBitsShape& shape,
                                 const MatrixTuning& tuning);

}  // namespace sinter::kernels

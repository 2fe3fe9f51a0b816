// Plan of MatMulNBits for many rows on the matrix units. matmul_nbits_matrix.wgsl has the maths.
//
// Operands: those of matmul_nbits.h, residual [M, N] if the shape has one, and scratch if the plan
// uses it. All act_t are f16. Weights are rounded to f16 once dequantized; sums are f32.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/common/matrix_tile.h"
#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// A tile of a gated product has n / 2 columns of either half.
using MatrixTuning = MatrixTile;

// Mirrors struct Params in matmul_nbits_matrix.wgsl.
struct MatMulNBitsMatrixParams {
  uint32_t m, n;
  uint32_t n_begin, n_count;
};
static_assert(sizeof(MatMulNBitsMatrixParams) == 16);

// Returns the variant's name, such as `matrix.128x64x32.4x2`.
std::string MatrixVariant(const MatrixTuning& tuning);

// Returns the tunings that this adapter can run for the shape, the best guess first. Empty if the
// adapter has no f16 matrices with f32 sums or subgroups of varying size, or if the activations are
// not f16.
std::vector<MatrixTuning> MatrixTunings(const Caps& caps, const MatMulNBitsShape& shape);

// Returns the largest scratch of all these tunings.
uint64_t MatrixScratchWords(const Caps& caps, const MatMulNBitsShape& shape);

// Plans one dispatch. `tuning` must be one of MatrixTunings() for this shape; throws BugError for
// another.
KernelPlan PlanMatMulNBitsMatrix(const Caps& caps, const MatMulNBitsShape& shape,
                                 const MatrixTuning& tuning);

}  // namespace sinter::kernels

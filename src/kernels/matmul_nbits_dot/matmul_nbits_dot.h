// The plan of MatMulNBits for many rows by packed dot products; matmul_nbits_dot.wgsl has the
// maths.
//
// Bindings: those of matmul_nbits.h, and 7 residual [M, N] where the shape has one. Uniform:
// MatMulNBitsParams, row_units counting loads of 16 codes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// How the work is cut; it does not change the result.
struct DotTuning {
  uint32_t m, n;  // of a workgroup's tile; of a gated product n / 2 columns of either half
  uint32_t step;  // of K that is in workgroup memory at once: 32 or 64
  uint32_t rows;  // of A that a thread has, by 4 of B: 4 or 8

  uint32_t threads() const { return m / rows * (n / 4); }
};

// `dot.64x64x64.4x4`: what a plan can be forced to.
std::string DotVariant(const DotTuning& tuning);

// Those that this adapter can run the shape with, the best guess first. Empty where it has no
// packed dot products, and for 2 bits and rows that are to be normalized.
std::vector<DotTuning> DotTunings(const Caps& caps, const MatMulNBitsShape& shape);

// `tuning` as DotTunings() gives for this shape. Throws BugError for another.
KernelPlan PlanMatMulNBitsDot(const Caps& caps, const MatMulNBitsShape& shape,
                              const DotTuning& tuning);

}  // namespace sinter::kernels

// Plan of MatMulNBits for many rows by packed dot products. matmul_nbits_dot.wgsl has the maths.
//
// Operands: those of matmul_nbits.h, and residual [M, N] if the shape has one. The uniform is
// MatMulNBitsParams; its row_units count loads of 16 codes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// Division of the work. It does not change the result.
struct DotTuning {
  uint32_t m, n;  // a workgroup's tile; of a gated product it has n / 2 columns of either half
  uint32_t step;  // length of K that is in workgroup memory at once: 32 or 64
  uint32_t rows;  // rows of A per thread, by 4 of B: 4 or 8

  uint32_t threads() const { return m / rows * (n / 4); }
};

// Returns the variant's name, such as `dot.64x64x64.4x4`.
std::string DotVariant(const DotTuning& tuning);

// Returns the tunings that this adapter can run for the shape, the best guess first. Empty if the
// adapter has no packed dot products, for 2 bits, and for rows that must be normalized.
std::vector<DotTuning> DotTunings(const Caps& caps, const MatMulNBitsShape& shape);

// Plans one dispatch. `tuning` must be one of DotTunings() for this shape; throws BugError for
// another.
KernelPlan PlanMatMulNBitsDot(const Caps& caps, const MatMulNBitsShape& shape,
                              const DotTuning& tuning);

}  // namespace sinter::kernels

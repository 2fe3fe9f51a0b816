// Plan of MatMulNBits for few rows, with what a transformer layer computes before and after it in
// the same dispatch. matmul_nbits_decode.wgsl has the maths.
//
// Operands: those of matmul_nbits.h, residual [M, N], norm scale [K], skip [M, K], skip scale [K],
// and sum [M, K] (output). The shape says which ones are present.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// Parameters that are chosen by measurement. They change the result only by rounding.
struct DecodeTuning {
  uint32_t workgroup = 128;  // threads
  uint32_t rows = 2;         // rows of B that a team computes at once: 1, 2 or 4
  uint32_t block = 2;        // chunks that are loaded at once, one block ahead: 1 to 8
  uint32_t groups = 1;       // groups of rows that a team computes in turn
  uint32_t split = 1;        // teams that share a group's rows along K
  bool integers = true;      // whether products are in integers (f16 activations), otherwise in f32

  bool operator==(const DecodeTuning&) const = default;
};

// Returns a name such as `decode.wg128.r2.b2.g1.s1`, followed by `.f32` for f32 arithmetic.
std::string DecodeVariant(const DecodeTuning& tuning);

// Returns the tunings worth a try for the shape on this adapter, the best guess first. Empty if the
// kernel cannot compute the shape in one dispatch: rows that are normalized must fit workgroup
// memory whole, and the bindings must suffice.
std::vector<DecodeTuning> DecodeTunings(const Caps& caps, const MatMulNBitsShape& shape);

// Plans one dispatch. `tuning` must be one of DecodeTunings() for this shape; throws BugError for
// another.
KernelPlan PlanMatMulNBitsDecode(const Caps& caps, const MatMulNBitsShape& shape,
                                 const DecodeTuning& tuning);

}  // namespace sinter::kernels

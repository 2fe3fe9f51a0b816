// The plan of MatMulNBits for few rows, with what a transformer layer has before and behind it in
// the same dispatch; matmul_nbits_decode.wgsl has the maths.
//
// Bindings: those of matmul_nbits.h, then 7 residual, 8 norm scale [K], 9 skip [M, K], 10 skip
// scale [K], 11 sum [M, K] (output), 12 to 19 the choice of a token; each present where the shape
// says so.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// What does not change the result but for rounding, and is chosen by measurement.
struct DecodeTuning {
  uint32_t workgroup = 128;  // threads
  uint32_t rows = 2;         // of B that a team has at once: 1, 2 or 4
  uint32_t block = 2;        // chunks that are loaded at once, one block ahead: 1 to 8
  uint32_t groups = 1;       // of rows that a team does one after the other
  uint32_t split = 1;        // teams that share a group's rows along K
  bool integers = true;      // products in integers (f16 activations), else in f32

  bool operator==(const DecodeTuning&) const = default;
};

// `decode.wg128.r2.b2.g1.s1`, with `.f32` behind it for f32 arithmetic.
std::string DecodeVariant(const DecodeTuning& tuning);

// Those worth a try for the shape on this adapter, the best guess first. Empty where the kernel
// cannot take the shape in one dispatch (rows that are normalized must fit workgroup memory whole;
// bindings).
std::vector<DecodeTuning> DecodeTunings(const Caps& caps, const MatMulNBitsShape& shape);

// `tuning` as DecodeTunings() gives for this shape. Throws BugError for another.
KernelPlan PlanMatMulNBitsDecode(const Caps& caps, const MatMulNBitsShape& shape,
                                 const DecodeTuning& tuning);

}  // namespace sinter::kernels

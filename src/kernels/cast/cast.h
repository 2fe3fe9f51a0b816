// Casts between element types: any pair of f32, f16, i32 (i64) and bool.
//
// Float to integer truncates towards zero and saturates to the 32 bits of the device; NaN gives 0.
// Every value other than zero (NaN too) becomes bool 1. Float to f16 past its range gives infinity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/caps.h"
#include "base/dtype.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

struct CastRoles {
  static constexpr Role kX{1}, kY{2, Access::kWrite}, kFaults{3, Access::kReadWrite};
};

struct CastShape {
  DType from = DType::kF32, to = DType::kF32;
  int64_t elems = 0;
  // If not 0, a float beyond 32 bits puts this number into the word of kFaults, unless a larger one
  // is there. For casts to int64.
  uint32_t fault_word = 0;
};

struct CastParams {
  uint32_t elems;
  uint32_t grid_x;  // workgroups in a row of the grid
  uint32_t fault_word;
  uint32_t padding;
};
static_assert(sizeof(CastParams) == 16);

// Returns whether both types have the same form on the device, so that a cast needs no kernel: i64
// to i32, or f32 to f16 without shader-f16.
bool CastIsCopy(const Caps& caps, DType from, DType to);

// Plans one dispatch, in which a thread casts four elements. The only variant is `vec4`. It writes
// up to three elements past the end, within the padding of the buffer to 16 bytes. Operands: x
// [elems], y [elems]. Throws Error for an element type without a form on the device.
KernelPlan PlanCast(const Caps& caps, const CastShape& shape, std::string_view variant = "");

// Rounds to float types, and saturates to the range of `to` for integers of 8 bits and more.
std::vector<double> CastReference(DType to, std::span<const double> x);

// Casts integers as ONNX does: a narrower type keeps the low bits.
std::vector<double> CastIntegerReference(DType to, std::span<const double> x);

}  // namespace sinter::kernels

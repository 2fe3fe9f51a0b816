// Cast between element types: f32, f16, i32 (i64) and bool, any pair.
//
// Float to integer truncates towards zero and saturates to the 32 bits of the device; NaN gives 0.
// To bool: 1 for every value that is not zero (NaN too). Float to f16 past its range gives
// infinity.
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
  static constexpr Role kX{1}, kY{2, Access::kWrite};
};

struct CastShape {
  DType from = DType::kF32, to = DType::kF32;
  int64_t elems = 0;
};

struct CastParams {
  uint32_t elems;
  uint32_t grid_x;  // Workgroups in a row of the grid.
  uint32_t padding[2];
};
static_assert(sizeof(CastParams) == 16);

// Whether both types have one form on the device, so that a cast needs no kernel (i64 to i32; f32
// to f16 without shader-f16).
bool CastIsCopy(const Caps& caps, DType from, DType to);

// One thread casts four elements. Only variant: `vec4`. Writes up to three elements past the end,
// within the padding of the buffer to 16 bytes. Bindings: 0 params, 1 x [elems], 2 y [elems].
// Throws Error: an element type without device form.
KernelPlan PlanCast(const Caps& caps, const CastShape& shape, std::string_view variant = "");

// Rounds to f16 and f32; saturates to the range of `to` for integers (i64 is not narrowed). The
// type that x comes from makes no difference.
std::vector<double> CastReference(DType to, std::span<const double> x);

}  // namespace sinter::kernels

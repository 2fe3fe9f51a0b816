// Range (start, start + delta, ...) and, as the range that stands still, a fill with one value
// (ConstantOfShape).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/caps.h"
#include "base/dtype.h"
#include "kernels/kernel_plan.h"

namespace sinter::kernels {

struct RangeShape {
  DType dtype = DType::kI32;  // f32, f16, i32, i64; bool with delta 0
  int64_t elems = 0;
  // Integers must fit 32 bits for an integer type.
  double start = 0, delta = 0;
};

struct RangeParams {
  uint32_t elems;
  uint32_t grid_x;  // Workgroups in a row of the grid.
  uint32_t start;   // Bits of an f32, i32 or u32.
  uint32_t delta;
};
static_assert(sizeof(RangeParams) == 16 && offsetof(RangeParams, start) == 8);

// Elements of ONNX's Range: max(ceil((limit - start) / delta), 0). Throws Error for a delta of 0 or
// one that is not finite.
int64_t RangeElems(double start, double limit, double delta);

// A thread writes one element: y[i] = start + i * delta. Only variant: `elem`.
// Bindings: 0 params, 1 y [elems].
// Throws Error: an element type without device form, a value that does not fit it.
KernelPlan PlanRange(const Caps& caps, const RangeShape& shape, std::string_view variant = "");

// y[i] = value. The plan of the range that stands still.
KernelPlan PlanFill(const Caps& caps, DType dtype, int64_t elems, double value,
                    std::string_view variant = "");

std::vector<double> RangeReference(double start, double delta, int64_t elems);

}  // namespace sinter::kernels

// Where: y = condition ? a : b, with the three operands broadcast to each other (ONNX's
// multidirectional rule).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/caps.h"
#include "base/dtype.h"
#include "kernels/common/indexing.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

struct WhereRoles {
  static constexpr Role kCondition{1}, kA{2}, kB{3}, kY{4, Access::kWrite};
};

struct WhereShape {
  DType dtype = DType::kF32;  // type of a, b and y: f32, f16, i32, i64 or bool
  std::vector<int64_t> condition, a, b;
};

struct WhereParams {
  uint32_t threads;  // threads with work: elements, or vectors of four
  uint32_t grid_x;   // workgroups in a row of the grid
  uint32_t rank;     // dimensions in use below, innermost first
  uint32_t padding;
  std::array<int32_t, kMaxDims> sizes;
  std::array<int32_t, kMaxDims> condition_strides, a_strides, b_strides;  // in elements
};
static_assert(sizeof(WhereParams) == 144 && offsetof(WhereParams, sizes) == 16 &&
              offsetof(WhereParams, condition_strides) == 48 &&
              offsetof(WhereParams, a_strides) == 80 && offsetof(WhereParams, b_strides) == 112);

// Returns the shape of y.
std::vector<int64_t> WhereOutputShape(const WhereShape& shape);

// Plans one dispatch. Operands: condition (u32), a, b, y. Throws Error for shapes that do not
// broadcast, for more than kMaxDims folded dimensions, and for an element type without a form on
// the device.
//
// - `vec4`: a thread chooses four neighbours. For equal shapes, scalar operands, and broadcasts
//   whose innermost folded dimension is a multiple of four. Writes up to three elements past the
//   end, within the padding of the buffer to 16 bytes.
// - `strided`: a thread chooses one element, for any shapes.
KernelPlan PlanWhere(const Caps& caps, const WhereShape& shape, std::string_view variant = "");
// Returns the variants that fit, the preferred one first.
std::vector<std::string> WhereVariants(const WhereShape& shape);

std::vector<double> WhereReference(std::span<const double> condition,
                                   std::span<const int64_t> condition_shape,
                                   std::span<const double> a, std::span<const int64_t> a_shape,
                                   std::span<const double> b, std::span<const int64_t> b_shape);

}  // namespace sinter::kernels

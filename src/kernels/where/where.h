// Where: y = condition ? a : b, each of the three broadcast to the others (ONNX's multidirectional
// rule).
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
  DType dtype = DType::kF32;  // of a, b and y: f32, f16, i32, i64 or bool
  std::vector<int64_t> condition, a, b;
};

struct WhereParams {
  uint32_t threads;  // Threads with work: elements, or vectors of four.
  uint32_t grid_x;   // Workgroups in a row of the grid.
  uint32_t rank;     // Dimensions in use below, innermost first.
  uint32_t padding;
  std::array<int32_t, kMaxDims> sizes;
  std::array<int32_t, kMaxDims> condition_strides, a_strides, b_strides;  // in elements
};
static_assert(sizeof(WhereParams) == 144 && offsetof(WhereParams, sizes) == 16 &&
              offsetof(WhereParams, condition_strides) == 48 &&
              offsetof(WhereParams, a_strides) == 80 && offsetof(WhereParams, b_strides) == 112);

// The shape of y.
std::vector<int64_t> WhereOutputShape(const WhereShape& shape);

// Variants: `vec4` (a thread chooses four neighbours; equal shapes, scalar operands, broadcasts
// whose innermost folded dimension is a multiple of four; writes up to three elements past the end,
// within the padding of the buffer to 16 bytes) and `strided` (a thread chooses one element; any
// shapes). Bindings: 0 params, 1 condition (u32), 2 a, 3 b, 4 y. Throws Error: shapes that do not
// broadcast, more than kMaxDims folded dimensions, an element type without device form.
KernelPlan PlanWhere(const Caps& caps, const WhereShape& shape, std::string_view variant = "");
// The variants that fit, the preferred one first.
std::vector<std::string> WhereVariants(const WhereShape& shape);

std::vector<double> WhereReference(std::span<const double> condition,
                                   std::span<const int64_t> condition_shape,
                                   std::span<const double> a, std::span<const int64_t> a_shape,
                                   std::span<const double> b, std::span<const int64_t> b_shape);

}  // namespace sinter::kernels

// Copies a strided view of one buffer to a strided view of another: Transpose, Slice, Split (one
// dispatch an output), Concat (one dispatch an input) and Expand.
#pragma once

#include <array>
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

struct StridedCopyRoles {
  static constexpr Role kX{1}, kY{2, Access::kWrite};
};

// Element (i0, i1, ...) of the views, each i below its size: y[y_offset + sum(i * y_strides)] =
// x[x_offset + ...]. All in elements; strides of x may be 0 or negative; elements of y must be
// distinct.
struct StridedCopyShape {
  DType dtype = DType::kF32;  // f32, f16, i32, i64 or bool
  std::vector<int64_t> sizes;
  std::vector<int64_t> x_strides, y_strides;
  int64_t x_offset = 0, y_offset = 0;
};

// y has dimension permutation[i] of x as its dimension i. Throws Error where it is no permutation.
StridedCopyShape TransposeCopy(DType dtype, std::span<const int64_t> x_shape,
                               std::span<const int64_t> permutation);
// y[i] = x[starts + i * steps] for every dimension of x, with y of shape `y_shape`. Starts are in
// range already (ONNX's clamping and defaults are shape inference's work); steps may be negative.
// Throws Error where an element lies outside x.
StridedCopyShape SliceCopy(DType dtype, std::span<const int64_t> x_shape,
                           std::span<const int64_t> starts, std::span<const int64_t> steps,
                           std::span<const int64_t> y_shape);
// Output of Split: `size` from `start` along `axis`.
StridedCopyShape SplitCopy(DType dtype, std::span<const int64_t> x_shape, int64_t axis,
                           int64_t start, int64_t size);
// One input of Concat: x goes to `start` along `axis` of y. Throws Error where it does not fit.
StridedCopyShape ConcatCopy(DType dtype, std::span<const int64_t> x_shape,
                            std::span<const int64_t> y_shape, int64_t axis, int64_t start);
// x broadcast to `y_shape`. Throws Error where it does not broadcast.
StridedCopyShape ExpandCopy(DType dtype, std::span<const int64_t> x_shape,
                            std::span<const int64_t> y_shape);

struct StridedCopyParams {
  uint32_t threads;  // Threads with work: elements, or vectors of four.
  uint32_t grid_x;   // Workgroups in a row of the grid.
  uint32_t rank;     // Dimensions in use below, innermost first.
  int32_t x_offset;
  int32_t y_offset;
  uint32_t padding[3];
  std::array<int32_t, kMaxDims> sizes;
  std::array<int32_t, kMaxDims> x_strides, y_strides;
};
static_assert(sizeof(StridedCopyParams) == 128 && offsetof(StridedCopyParams, y_offset) == 16 &&
              offsetof(StridedCopyParams, sizes) == 32 &&
              offsetof(StridedCopyParams, x_strides) == 64 &&
              offsetof(StridedCopyParams, y_strides) == 96);

// Variants: `vec4` (a thread copies four neighbours; where sizes, offsets and strides allow) and
// `strided` (a thread copies one element). Neither writes an element outside the view of y.
// Bindings: 0 params, 1 x, 2 y (the whole buffers, of which offsets count from the start).
// Throws Error: an element type without device form, more than kMaxDims folded dimensions.
KernelPlan PlanStridedCopy(const Caps& caps, const StridedCopyShape& shape,
                           std::string_view variant = "");
// The variants that fit, the preferred one first.
std::vector<std::string> StridedCopyVariants(const StridedCopyShape& shape);

// Writes the view into `y`, which is left as it is elsewhere. SINTER_CHECKs that the views lie
// within x and y.
void StridedCopyReference(const StridedCopyShape& shape, std::span<const double> x,
                          std::span<double> y);

}  // namespace sinter::kernels

// Copies a strided view of one buffer to a strided view of another: Transpose, Slice, Split (one
// dispatch per output), Concat (one dispatch per input) and Expand.
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

// For each element (i0, i1, ...) of the views, with each i below its size: y[y_offset + sum(i *
// y_strides)] = x[x_offset + ...]. All counts are in elements. Strides of x may be 0 or negative;
// elements of y must be distinct.
struct StridedCopyShape {
  DType dtype = DType::kF32;  // f32, f16, i32, i64 or bool
  std::vector<int64_t> sizes;
  std::vector<int64_t> x_strides, y_strides;
  int64_t x_offset = 0, y_offset = 0;
};

// Returns the copy in which dimension i of y is dimension permutation[i] of x. Throws Error if it
// is no permutation.
StridedCopyShape TransposeCopy(DType dtype, std::span<const int64_t> x_shape,
                               std::span<const int64_t> permutation);
// Returns the copy y[i] = x[starts + i * steps] for every dimension of x, with y of shape
// `y_shape`. Starts must be in range (shape inference applies ONNX's clamping and defaults); steps
// may be negative. Throws Error if an element is outside x.
StridedCopyShape SliceCopy(DType dtype, std::span<const int64_t> x_shape,
                           std::span<const int64_t> starts, std::span<const int64_t> steps,
                           std::span<const int64_t> y_shape);
// Returns the copy of one output of Split: `size` from `start` along `axis`.
StridedCopyShape SplitCopy(DType dtype, std::span<const int64_t> x_shape, int64_t axis,
                           int64_t start, int64_t size);
// Returns the copy of one input of Concat: x goes to `start` along `axis` of y. Throws Error if it
// does not fit.
StridedCopyShape ConcatCopy(DType dtype, std::span<const int64_t> x_shape,
                            std::span<const int64_t> y_shape, int64_t axis, int64_t start);
// Returns the copy of x broadcast to `y_shape`. Throws Error if it does not broadcast.
StridedCopyShape ExpandCopy(DType dtype, std::span<const int64_t> x_shape,
                            std::span<const int64_t> y_shape);

struct StridedCopyParams {
  uint32_t threads;  // threads with work: elements, or vectors of four
  uint32_t grid_x;   // workgroups in a row of the grid
  uint32_t rank;     // dimensions in use below, innermost first
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

// Plans one dispatch. Operands: x, y (whole buffers; offsets count from their start). Throws Error
// for an element type without a form on the device, and for more than kMaxDims folded dimensions.
//
// - `vec4`: a thread copies four neighbours, if sizes, offsets and strides allow it.
// - `strided`: a thread copies one element.
// Neither writes an element outside the view of y.
KernelPlan PlanStridedCopy(const Caps& caps, const StridedCopyShape& shape,
                           std::string_view variant = "");
// Returns the variants that fit, the preferred one first.
std::vector<std::string> StridedCopyVariants(const StridedCopyShape& shape);

// Writes the view into `y`, whose other elements keep their values. SINTER_CHECKs that the views
// are within x and y.
void StridedCopyReference(const StridedCopyShape& shape, std::span<const double> x,
                          std::span<double> y);

}  // namespace sinter::kernels

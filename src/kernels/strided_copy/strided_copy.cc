#include "kernels/strided_copy/strided_copy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"

namespace sinter::kernels {
namespace {

// Returns x and y over the sizes, in as few dimensions as possible.
StridedSpace CopySpace(const StridedCopyShape& shape) {
  SINTER_CHECK(shape.x_strides.size() == shape.sizes.size() &&
               shape.y_strides.size() == shape.sizes.size());
  NumElems(shape.sizes);  // throws Error if they are too many
  return FoldDims({shape.sizes, {shape.x_strides, shape.y_strides}});
}

int32_t DeviceOffset(int64_t offset) {
  if (offset < 0 || offset != static_cast<int32_t>(offset)) {
    throw Error("kernels", "strided_copy: got an offset of {} elements, want one that fits 31 bits",
                offset);
  }
  return static_cast<int32_t>(offset);
}

void CheckAxis(int64_t axis, size_t rank) {
  if (axis < 0 || axis >= static_cast<int64_t>(rank)) {
    throw Error("kernels", "strided_copy: got axis {}, want one in [0, {})", axis, rank);
  }
}

}  // namespace

StridedCopyShape TransposeCopy(DType dtype, std::span<const int64_t> x_shape,
                               std::span<const int64_t> permutation) {
  const size_t rank = x_shape.size();
  std::vector<bool> seen(rank, false);
  bool valid = permutation.size() == rank;
  for (size_t d = 0; valid && d < rank; ++d) {
    const int64_t from = permutation[d];
    valid = from >= 0 && from < static_cast<int64_t>(rank) && !seen[from];
    if (valid) seen[from] = true;
  }
  if (!valid) {
    throw Error("kernels", "transpose: got [{}], want a permutation of {} dimensions",
                fmt::join(permutation, ", "), rank);
  }
  const std::vector<int64_t> x_strides = RowMajorStrides(x_shape);
  StridedCopyShape copy{.dtype = dtype};
  for (const int64_t from : permutation) {
    copy.sizes.push_back(x_shape[from]);
    copy.x_strides.push_back(x_strides[from]);
  }
  copy.y_strides = RowMajorStrides(copy.sizes);
  return copy;
}

StridedCopyShape SliceCopy(DType dtype, std::span<const int64_t> x_shape,
                           std::span<const int64_t> starts, std::span<const int64_t> steps,
                           std::span<const int64_t> y_shape) {
  const size_t rank = x_shape.size();
  SINTER_CHECK(starts.size() == rank && steps.size() == rank && y_shape.size() == rank);
  StridedCopyShape copy{.dtype = dtype, .sizes = {y_shape.begin(), y_shape.end()}};
  const bool empty = std::find(y_shape.begin(), y_shape.end(), 0) != y_shape.end();
  const std::vector<int64_t> x_strides = RowMajorStrides(x_shape);
  for (size_t d = 0; d < rank; ++d) {
    const int64_t last = starts[d] + (y_shape[d] - 1) * steps[d];
    if (!empty && (std::min(starts[d], last) < 0 || std::max(starts[d], last) >= x_shape[d])) {
      throw Error("kernels",
                  "slice: got elements {} to {} along dimension {}, want them in [0, {})",
                  starts[d], last, d, x_shape[d]);
    }
    copy.x_offset += empty ? 0 : starts[d] * x_strides[d];
    copy.x_strides.push_back(x_strides[d] * steps[d]);
  }
  copy.y_strides = RowMajorStrides(y_shape);
  return copy;
}

StridedCopyShape SplitCopy(DType dtype, std::span<const int64_t> x_shape, int64_t axis,
                           int64_t start, int64_t size) {
  CheckAxis(axis, x_shape.size());
  std::vector<int64_t> starts(x_shape.size(), 0), steps(x_shape.size(), 1),
      y_shape(x_shape.begin(), x_shape.end());
  starts[axis] = start;
  y_shape[axis] = size;
  return SliceCopy(dtype, x_shape, starts, steps, y_shape);
}

StridedCopyShape ConcatCopy(DType dtype, std::span<const int64_t> x_shape,
                            std::span<const int64_t> y_shape, int64_t axis, int64_t start) {
  CheckAxis(axis, y_shape.size());
  bool fits = x_shape.size() == y_shape.size();
  for (size_t d = 0; fits && d < x_shape.size(); ++d) {
    fits = static_cast<int64_t>(d) == axis ? start >= 0 && start + x_shape[d] <= y_shape[d]
                                           : x_shape[d] == y_shape[d];
  }
  if (!fits) {
    throw Error("kernels", "concat: got [{}] at {} along axis {}, want a part of [{}]",
                fmt::join(x_shape, ", "), start, axis, fmt::join(y_shape, ", "));
  }
  StridedCopyShape copy{.dtype = dtype, .sizes = {x_shape.begin(), x_shape.end()}};
  copy.x_strides = RowMajorStrides(x_shape);
  copy.y_strides = RowMajorStrides(y_shape);
  copy.y_offset = start * copy.y_strides[axis];
  return copy;
}

StridedCopyShape ExpandCopy(DType dtype, std::span<const int64_t> x_shape,
                            std::span<const int64_t> y_shape) {
  return {.dtype = dtype,
          .sizes = {y_shape.begin(), y_shape.end()},
          .x_strides = BroadcastStrides(x_shape, y_shape),
          .y_strides = RowMajorStrides(y_shape)};
}

std::vector<std::string> StridedCopyVariants(const StridedCopyShape& shape) {
  const StridedSpace space = CopySpace(shape);
  // Vectors must not exceed the end of the view: another input's part of y may follow.
  const bool vectors = CanVectorize(space, false) && IsUnitStride(space, 1) &&
                       shape.y_offset % 4 == 0 &&
                       (shape.x_offset % 4 == 0 || !IsUnitStride(space, 0));
  if (vectors) return {"vec4", "strided"};
  return {"strided"};
}

KernelPlan PlanStridedCopy(const Caps& caps, const StridedCopyShape& shape,
                           std::string_view variant) {
  StridedSpace space = CopySpace(shape);
  const std::vector<std::string> known = StridedCopyVariants(shape);
  if (variant.empty()) variant = known.front();
  if (std::find(known.begin(), known.end(), variant) == known.end()) {
    ThrowUnknownVariant("strided_copy", variant, known);
  }
  // Elements are only copied, so every 4-byte type is handled as u32.
  const std::string_view type = WgslType(caps, shape.dtype) == "f16" ? "f16" : "u32";
  KernelPlan plan;
  plan.variant = fmt::format("strided_copy.{}.{}", type, variant);
  if (variant == "vec4") {
    plan.defines.push_back("vec4");
    if (IsUnitStride(space, 0)) {
      plan.defines.push_back("x_vec4");
    } else {
      plan.variant += ".splat_x";
    }
    space = ToVectors(space);
  }
  if (type == "f16") plan.defines.push_back("f16");
  plan.wgsl = "strided_copy/strided_copy.wgsl";
  plan.prelude = fmt::format("alias elem_t = {};\n", type);
  const int64_t threads = NumElems(space.sizes);
  plan.workgroups = FoldGrid(caps, (threads + kElementwiseThreads - 1) / kElementwiseThreads);
  plan.SetParams(StridedCopyParams{.threads = static_cast<uint32_t>(threads),
                                   .grid_x = plan.workgroups[0],
                                   .rank = static_cast<uint32_t>(space.sizes.size()),
                                   .x_offset = DeviceOffset(shape.x_offset),
                                   .y_offset = DeviceOffset(shape.y_offset),
                                   .sizes = ToDeviceDims(space.sizes, 1),
                                   .x_strides = ToDeviceDims(space.strides[0], 0),
                                   .y_strides = ToDeviceDims(space.strides[1], 0)});
  return plan;
}

}  // namespace sinter::kernels

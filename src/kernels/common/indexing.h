// Shapes, broadcasting and folding of dimensions on the host: pure functions that the plans of the
// data-movement and elementwise kernels share. Shapes and strides are outermost first, in elements.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sinter::kernels {

// Upper bound on the dimensions that a kernel iterates over after folding.
inline constexpr size_t kMaxDims = 8;

// Threads of a workgroup in the kernels that give each thread one value.
inline constexpr uint32_t kElementwiseThreads = 256;

// Returns the product of `shape`; 1 for a scalar. Throws Error past 2^31 - 1, the largest offset of
// the shaders, and for a negative dimension.
int64_t NumElems(std::span<const int64_t> shape);

// Returns the strides of a dense row-major tensor.
std::vector<int64_t> RowMajorStrides(std::span<const int64_t> shape);

// Returns the shape to which `a` and `b` broadcast (ONNX's multidirectional rule). Throws Error if
// they do not.
std::vector<int64_t> BroadcastShape(std::span<const int64_t> a, std::span<const int64_t> b);

// Returns the strides with which a dense tensor of `shape` is read over `to`: 0 along broadcast
// dimensions. Throws Error if `shape` does not broadcast to `to`.
std::vector<int64_t> BroadcastStrides(std::span<const int64_t> shape, std::span<const int64_t> to);

// An iteration space and the strides of each operand over it.
struct StridedSpace {
  std::vector<int64_t> sizes;
  std::vector<std::vector<int64_t>> strides;  // [operand][dimension]
};

// Returns the same space in as few dimensions as possible. Dimensions of size 1 are dropped, and
// neighbours that every operand steps through as one are merged. The order of elements stays the
// same. A space of one element has no dimensions.
StridedSpace FoldDims(const StridedSpace& space);

// Returns `values` in the form of the shaders: innermost first, padded with `fill`. Throws Error
// past kMaxDims.
std::array<int32_t, kMaxDims> ToDeviceDims(std::span<const int64_t> values, int32_t fill);

// Returns whether the space can be walked four elements of the innermost dimension at a time, with
// each operand reading or writing either an aligned vector (stride 1) or one element for all four
// (stride 0). `ragged_end` means that operands have room for a whole vector past their last
// element.
bool CanVectorize(const StridedSpace& folded, bool ragged_end);

// Returns whether `operand` is accessed by vectors and not by single elements. CanVectorize must
// hold for the space.
bool IsUnitStride(const StridedSpace& folded, size_t operand);

// Returns the space of vectors: the innermost dimension in steps of four. Strides stay in elements.
// CanVectorize must hold for the space.
StridedSpace ToVectors(const StridedSpace& folded);

// Calls visit(offsets) with the element offset of each operand, for each element of the space in
// row-major order. Used by the references.
template <typename Visit>
void ForEachOffset(const StridedSpace& space, Visit visit) {
  const size_t rank = space.sizes.size();
  for (const int64_t size : space.sizes) {
    if (size == 0) return;
  }
  std::vector<int64_t> index(rank, 0), offsets(space.strides.size(), 0);
  while (true) {
    visit(std::span<const int64_t>(offsets));
    size_t d = rank;
    while (d > 0) {
      --d;
      ++index[d];
      for (size_t i = 0; i < offsets.size(); ++i) offsets[i] += space.strides[i][d];
      if (index[d] < space.sizes[d]) break;
      for (size_t i = 0; i < offsets.size(); ++i) offsets[i] -= space.strides[i][d] * index[d];
      index[d] = 0;
      if (d == 0) return;
    }
    if (rank == 0) return;
  }
}

}  // namespace sinter::kernels

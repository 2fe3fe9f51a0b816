// Shapes, broadcasting and the folding of dimensions, on the host: pure functions that the plans of
// the data-movement and elementwise kernels share. Shapes and strides are outermost first, in
// elements.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sinter::kernels {

// The most dimensions that a kernel iterates over after folding.
inline constexpr size_t kMaxDims = 8;

// Threads of a workgroup in the kernels that give each thread one value.
inline constexpr uint32_t kElementwiseThreads = 256;

// The product of `shape`; 1 for a scalar. Throws Error past 2^31 - 1, where the shaders' offsets
// end, and for a negative dimension.
int64_t NumElems(std::span<const int64_t> shape);

// Strides of a dense row-major tensor.
std::vector<int64_t> RowMajorStrides(std::span<const int64_t> shape);

// The shape to which `a` and `b` broadcast (ONNX's multidirectional rule). Throws Error where they
// do not.
std::vector<int64_t> BroadcastShape(std::span<const int64_t> a, std::span<const int64_t> b);

// Strides with which a dense tensor of `shape` is read over `to`: 0 along broadcast dimensions.
// Throws Error where `shape` does not broadcast to `to`.
std::vector<int64_t> BroadcastStrides(std::span<const int64_t> shape, std::span<const int64_t> to);

// An iteration space and the strides of each operand over it.
struct StridedSpace {
  std::vector<int64_t> sizes;
  std::vector<std::vector<int64_t>> strides;  // [operand][dimension]
};

// The same space in as few dimensions as possible: dimensions of size 1 are dropped, neighbours
// that every operand steps through as one are merged. The order of elements stays. A space of one
// element has no dimensions.
StridedSpace FoldDims(const StridedSpace& space);

// `values` as the shaders want them: innermost first, padded with `fill`. Throws Error past
// kMaxDims.
std::array<int32_t, kMaxDims> ToDeviceDims(std::span<const int64_t> values, int32_t fill);

// Whether the space can be walked four elements of the innermost dimension at a time, each operand
// reading or writing either an aligned vector (stride 1) or one element for all four (stride 0).
// `ragged_end` says that operands have room for a whole vector past their last element.
bool CanVectorize(const StridedSpace& folded, bool ragged_end);

// Whether `operand` of a space for which CanVectorize holds is read by vectors, not by single
// elements.
bool IsUnitStride(const StridedSpace& folded, size_t operand);

// The space of the vectors of a space for which CanVectorize holds: the innermost dimension in
// steps of four. Strides stay in elements.
StridedSpace ToVectors(const StridedSpace& folded);

// Calls visit(offsets) with the element offset of each operand, for each element of the space in
// row-major order. For the references.
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

#include "kernels/common/indexing.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace sinter::kernels {

int64_t NumElems(std::span<const int64_t> shape) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  int64_t elems = 1;
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0)
      throw Error("kernels", "dimensions: got [{}], want none negative", fmt::join(shape, ", "));
    empty |= size == 0;
  }
  if (empty) return 0;
  for (const int64_t size : shape) {
    if (size > kMost / elems) {
      throw Error("kernels", "elements: got a tensor of [{}], want at most {}",
                  fmt::join(shape, ", "), kMost);
    }
    elems *= size;
  }
  return elems;
}

std::vector<int64_t> RowMajorStrides(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= shape[d];
  }
  return strides;
}

std::vector<int64_t> BroadcastShape(std::span<const int64_t> a, std::span<const int64_t> b) {
  std::vector<int64_t> out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    // Shapes are aligned at their innermost dimensions.
    const int64_t from_a = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t from_b = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (from_a != from_b && from_a != 1 && from_b != 1) {
      throw Error("kernels", "broadcast: got shapes [{}] and [{}], want equal dimensions or 1",
                  fmt::join(a, ", "), fmt::join(b, ", "));
    }
    out[out.size() - 1 - i] = from_a == 1 ? from_b : from_a;
  }
  return out;
}

std::vector<int64_t> BroadcastStrides(std::span<const int64_t> shape, std::span<const int64_t> to) {
  std::vector<int64_t> strides(to.size(), 0);
  const std::vector<int64_t> dense = RowMajorStrides(shape);
  bool fits = shape.size() <= to.size();
  for (size_t i = 0; fits && i < shape.size(); ++i) {
    const size_t from = shape.size() - 1 - i, d = to.size() - 1 - i;
    fits = shape[from] == to[d] || shape[from] == 1;
    if (shape[from] != 1) strides[d] = dense[from];
  }
  if (!fits) {
    throw Error("kernels", "broadcast: got shape [{}], want one that broadcasts to [{}]",
                fmt::join(shape, ", "), fmt::join(to, ", "));
  }
  return strides;
}

StridedSpace FoldDims(const StridedSpace& space) {
  StridedSpace folded;
  folded.strides.resize(space.strides.size());
  for (size_t d = 0; d < space.sizes.size(); ++d) {
    if (space.sizes[d] == 1) continue;
    bool merges = !folded.sizes.empty();
    for (size_t i = 0; merges && i < space.strides.size(); ++i) {
      merges = folded.strides[i].back() == space.strides[i][d] * space.sizes[d];
    }
    if (!merges) folded.sizes.push_back(1);
    folded.sizes.back() *= space.sizes[d];
    for (size_t i = 0; i < space.strides.size(); ++i) {
      if (!merges) folded.strides[i].push_back(0);
      folded.strides[i].back() = space.strides[i][d];
    }
  }
  return folded;
}

std::array<int32_t, kMaxDims> ToDeviceDims(std::span<const int64_t> values, int32_t fill) {
  if (values.size() > kMaxDims) {
    throw Error("kernels", "dimensions: got {} that cannot be merged, want at most {}",
                values.size(), kMaxDims);
  }
  std::array<int32_t, kMaxDims> out;
  out.fill(fill);
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t value = values[values.size() - 1 - i];
    if (value != static_cast<int32_t>(value)) {
      throw Error("kernels", "stride: got {} elements, want one that fits 32 bits", value);
    }
    out[i] = static_cast<int32_t>(value);
  }
  return out;
}

bool CanVectorize(const StridedSpace& folded, bool ragged_end) {
  const size_t rank = folded.sizes.size();
  if (rank == 0) return ragged_end;
  if (folded.sizes.back() % 4 != 0 && !(rank == 1 && ragged_end)) return false;
  for (const std::vector<int64_t>& strides : folded.strides) {
    if (strides.back() == 0) continue;
    if (strides.back() != 1) return false;
    for (size_t d = 0; d + 1 < rank; ++d) {
      if (strides[d] % 4 != 0) return false;
    }
  }
  return true;
}

bool IsUnitStride(const StridedSpace& folded, size_t operand) {
  return folded.sizes.empty() || folded.strides[operand].back() == 1;
}

StridedSpace ToVectors(const StridedSpace& folded) {
  StridedSpace vectors = folded;
  if (vectors.sizes.empty()) return vectors;
  vectors.sizes.back() = (vectors.sizes.back() + 3) / 4;
  for (std::vector<int64_t>& strides : vectors.strides) strides.back() *= 4;
  return vectors;
}

}  // namespace sinter::kernels

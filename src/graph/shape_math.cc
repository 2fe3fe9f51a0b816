#include "graph/shape_math.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "graph/inference.h"

namespace sinter::graph {

Shape ReshapeTarget(const Node& node, const Shape& from, const std::vector<int64_t>& target,
                    bool allow_zero) {
  const auto mismatch = [&] {
    return Error("graph", "{}: shape: cannot make {} of {}", node.Describe(), ShapeText(target),
                 ShapeText(from));
  };
  Shape shape = target;
  std::optional<size_t> open;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1) {
      if (open) throw mismatch();
      open = i;
      shape[i] = 1;
    } else if (shape[i] == 0 && !allow_zero) {
      if (i >= from.size()) throw mismatch();
      shape[i] = from[i];
    } else if (shape[i] < 0) {
      throw mismatch();
    }
  }
  const int64_t have = NumElements(from), want = NumElements(shape);
  if (open) {
    if (want == 0 || have % want != 0) throw mismatch();
    shape[*open] = have / want;
  } else if (have != want) {
    throw mismatch();
  }
  return shape;
}

std::vector<SliceRange> SliceRanges(const Node& node, const Shape& shape,
                                    const std::vector<int64_t>& starts,
                                    const std::vector<int64_t>& ends,
                                    const std::optional<std::vector<int64_t>>& axes,
                                    const std::optional<std::vector<int64_t>>& steps) {
  const auto rank = static_cast<int64_t>(shape.size());
  if (ends.size() != starts.size() || (axes && axes->size() != starts.size()) ||
      (steps && steps->size() != starts.size()) || (!axes && starts.size() > shape.size())) {
    throw Error("graph", "{}: starts, ends, axes and steps: got lists of different lengths",
                node.Describe());
  }
  std::vector<SliceRange> ranges(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) ranges[i].count = shape[i];
  std::vector<bool> seen(shape.size(), false);
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t axis = NormalizeAxis(node, axes ? (*axes)[i] : static_cast<int64_t>(i), rank);
    if (seen[axis])
      throw Error("graph", "{}: axes: got {} twice, want each axis once", node.Describe(), axis);
    seen[axis] = true;
    const int64_t dim = shape[axis];
    const int64_t step = steps ? (*steps)[i] : 1;
    if (step == 0 || step == INT64_MIN) {
      throw Error("graph", "{}: steps: got {}, want neither 0 nor -2^63", node.Describe(), step);
    }
    // Negative positions count from the end. Both positions are then clamped, to ranges that ONNX
    // gives for each direction: a start before the first element of a negative step is the first
    // element, unlike NumPy's.
    const auto clamp = [&](int64_t at, int64_t low, int64_t high) {
      return std::clamp(at < 0 ? (at < -dim ? int64_t{-1} : at + dim) : at, low, high);
    };
    int64_t start, distance;
    if (step > 0) {
      start = clamp(starts[i], 0, dim);
      distance = clamp(ends[i], 0, dim) - start;
    } else {
      start = dim == 0 ? -1 : clamp(starts[i], 0, dim - 1);
      distance = start - clamp(ends[i], -1, dim - 1);
    }
    const int64_t stride = step > 0 ? step : -step;
    ranges[axis] = {start, step, distance <= 0 ? 0 : (distance - 1) / stride + 1};
  }
  return ranges;
}

std::vector<int64_t> SplitSizes(const Node& node, int64_t size, size_t parts,
                                const std::optional<std::vector<int64_t>>& sizes) {
  std::vector<int64_t> out;
  if (sizes) {
    int64_t left = size;
    for (const int64_t part : *sizes) {
      if (part < 0 || part > left) break;
      left -= part;
      out.push_back(part);
    }
    if (left != 0 || out.size() != sizes->size() || out.size() != parts) {
      throw Error("graph", "{}: split: got {}, want {} sizes with the sum {}", node.Describe(),
                  ShapeText(*sizes), parts, size);
    }
    return out;
  }
  // All pieces are equal, except that the last ones are smaller if the division leaves a remainder.
  const int64_t count = static_cast<int64_t>(parts);
  const int64_t piece = size / count + (size % count != 0);
  for (int64_t i = 0; i < count; ++i)
    out.push_back(std::clamp<int64_t>(size - i * piece, 0, piece));
  return out;
}

int64_t RangeCount(const Node& node, double start, double limit, double delta) {
  const double count = std::ceil((limit - start) / delta);
  // The comparison is false for NaN too. 2^31 indices are far beyond any sequence.
  if (!(count < 0x1p31) || delta == 0) {
    throw Error("graph", "{}: start, limit, delta: got {}, {}, {}, want at most 2^31 elements",
                node.Describe(), start, limit, delta);
  }
  return std::max<int64_t>(0, static_cast<int64_t>(std::max(count, 0.0)));
}

uint32_t Count(int64_t value) {
  if (value < 0 || value > INT32_MAX)
    throw Error("graph", "size: got {}, want at most {}", value, INT32_MAX);
  return static_cast<uint32_t>(value);
}

uint32_t Count(const Shape& shape, size_t begin, size_t end) {
  return Count(NumElements(Shape(shape.begin() + static_cast<std::ptrdiff_t>(begin),
                                 shape.begin() + static_cast<std::ptrdiff_t>(end))));
}

}  // namespace sinter::graph

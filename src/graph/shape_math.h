// What the attributes and list inputs of the shape operators mean, shared by inference and
// evaluation. Each function throws Error naming the node where they do not fit the shape.
#pragma once

#include <optional>
#include <vector>

#include "graph/graph.h"

namespace sinter::graph {

// Reshape: 0 copies a dimension (unless `allow_zero`), one -1 takes what is left.
Shape ReshapeTarget(const Node& node, const Shape& from, const std::vector<int64_t>& target,
                    bool allow_zero);

// Slice: for each dimension the first index, the step and the number of elements taken.
struct SliceRange {
  int64_t start = 0, step = 1, count = 0;
};
std::vector<SliceRange> SliceRanges(const Node& node, const Shape& shape,
                                    const std::vector<int64_t>& starts,
                                    const std::vector<int64_t>& ends,
                                    const std::optional<std::vector<int64_t>>& axes,
                                    const std::optional<std::vector<int64_t>>& steps);

// Split: the size of each of `parts` pieces of a dimension of `size`.
std::vector<int64_t> SplitSizes(const Node& node, int64_t size, size_t parts,
                                const std::optional<std::vector<int64_t>>& sizes);

// Range: the number of elements from `start` to `limit` (left out) by `delta`.
int64_t RangeCount(const Node& node, double start, double limit, double delta);

}  // namespace sinter::graph

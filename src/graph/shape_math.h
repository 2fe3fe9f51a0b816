// Meaning of the attributes and list inputs of the shape operators, shared by inference and
// evaluation, and sizes as the kernels take them. Each function throws Error, which names the node
// if it is given one, for what does not fit.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace sinter::graph {

// Returns the shape that Reshape gives. 0 copies a dimension (unless `allow_zero`); one -1 takes
// the remaining elements.
Shape ReshapeTarget(const Node& node, const Shape& from, const std::vector<int64_t>& target,
                    bool allow_zero);

// Range of the elements that Slice takes along one dimension: first index, step and number of
// elements.
struct SliceRange {
  int64_t start = 0, step = 1, count = 0;
};
std::vector<SliceRange> SliceRanges(const Node& node, const Shape& shape,
                                    const std::vector<int64_t>& starts,
                                    const std::vector<int64_t>& ends,
                                    const std::optional<std::vector<int64_t>>& axes,
                                    const std::optional<std::vector<int64_t>>& steps);

// Returns the sizes of the `parts` pieces into which Split divides a dimension of `size`.
std::vector<int64_t> SplitSizes(const Node& node, int64_t size, size_t parts,
                                const std::optional<std::vector<int64_t>>& sizes);

// Returns the number of elements of Range: from `start` up to but excluding `limit`, in steps of
// `delta`.
int64_t RangeCount(const Node& node, double start, double limit, double delta);

// Returns one dimension, or the product of shape[begin, end), as the 32-bit count that the kernels
// and their references take. Throws Error if it is more than 2^31 - 1.
uint32_t Count(int64_t value);
uint32_t Count(const Shape& shape, size_t begin, size_t end);

}  // namespace sinter::graph

// Runs operators on constants: what folds the arithmetic on shapes that models carry. Not a
// reference for the kernels.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "graph/graph.h"
#include "graph/ops.h"

namespace sinter::graph {

inline constexpr int64_t kMaxFoldedBytes = int64_t{16} << 20;

// The outputs of a node whose inputs are constants (Shape needs types only), in order; absent
// outputs are tensors of undefined type. Integers are computed as int64 and wrap, floats as double.
// Where elements keep their order (Reshape, Slice along the first dimension, ...), the result is a
// view of the input's bytes. nullopt where the operator is none of those for arithmetic on shapes,
// where an input is no constant, or where a result that is no view has more than `max_bytes`.
// Throws Error naming the node where the inputs do not fit, an index is out of range or an integer
// is divided by zero.
std::optional<std::vector<Tensor>> Evaluate(const Node& node, std::span<const TensorType> inputs,
                                            int64_t max_bytes = kMaxFoldedBytes);

}  // namespace sinter::graph

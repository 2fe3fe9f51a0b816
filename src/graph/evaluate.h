// Evaluation of operators on constants, which folds the shape arithmetic that models contain. It is
// no reference for the kernels.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "graph/ops.h"

namespace sinter::graph {

// Default bound on the bytes of a folded tensor that is not a view.
inline constexpr int64_t kMaxFoldedBytes = int64_t{16} << 20;

// Returns whether Evaluate() knows the operator.
bool CanEvaluate(std::string_view domain, std::string_view op);

// Returns the outputs, in order, of a node whose inputs are constants (Shape needs only their
// types). Absent outputs are tensors of undefined type. Integers are computed as int64 and wrap,
// floats as double. Where elements keep their order (Reshape, Slice along the first dimension,
// ...), the result is a view of the input's bytes. Returns nullopt if the operator does not belong
// to shape arithmetic, if an input is not a constant, or if a result that is not a view exceeds
// `max_bytes`. Throws Error that names the node if the inputs do not fit, an index is out of range
// or an integer is divided by zero.
std::optional<std::vector<Tensor>> Evaluate(const Node& node, std::span<const TensorType> inputs,
                                            int64_t max_bytes = kMaxFoldedBytes);

}  // namespace sinter::graph

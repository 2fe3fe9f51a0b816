// Axes of a value before and after a Reshape, if some of them have a length that depends on the
// run. Internal to src/passes.
#pragma once

#include <optional>
#include <vector>

#include "graph/graph.h"
#include "passes/step_facts.h"

namespace sinter::passes {

// Returns the product of the sizes, or nullopt if it is no Affine.
std::optional<Affine> ProductOf(const std::vector<Affine>& axes);

// Returns the axes after a Reshape to `target`, in which 0 copies an axis (unless `allow_zero`) and
// -1 takes what is left. Returns nullopt if they do not follow.
std::optional<std::vector<Affine>> ReshapedAxes(const std::vector<Affine>& from,
                                                const std::vector<Affine>& target, bool allow_zero);

// Returns whether an element of the row-major value with axes `from` in the reference and shape
// `from_shape` in the program is the same element of the value with axes `to` and shape `to_shape`:
// every axis of a length of the run stays whole, and inside it only axes of constant length are
// joined to it.
bool KeepsOrder(const std::vector<Affine>& from, const graph::Shape& from_shape,
                const std::vector<Affine>& to, const graph::Shape& to_shape);

}  // namespace sinter::passes

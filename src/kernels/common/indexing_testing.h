// Helpers for tests of kernels whose one-dimensional grid is folded into two dimensions.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {

// Returns the case planned for an adapter that takes only `limit` workgroups per dimension, so that
// the grid folds with few elements and the case can be run. SINTER_CHECKs (in FoldGrid) that
// limit^2 workgroups suffice.
inline KernelCase WithFoldedGrid(KernelCase c, uint32_t limit) {
  c.name += ".folded_grid";
  c.bytes = 0;
  c.plan = [plan = std::move(c.plan), limit](Caps caps, std::string_view variant) {
    caps.limits.max_workgroups_per_dimension = limit;
    return plan(caps, variant);
  };
  return c;
}

}  // namespace sinter::kernels

// Declares how a kernel's folder tells which of its plans measuring may choose from.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"

namespace sinter::kernels {

// The plans of one shape. They have the same operands and give the same results except for
// rounding.
struct Tunable {
  // Kernel name by which a user forces a variant; empty if none can be forced.
  std::string_view kernel;
  // Sizes that are not part of the guess's `variant` but decide which plan is fastest.
  std::string sizes;
  // Returns the variants worth measuring.
  std::function<std::vector<std::string>()> variants;
  // Returns the plan of a variant, or the best guess for an empty name. Throws Error for an unknown
  // variant.
  std::function<KernelPlan(std::string_view variant)> plan;
  // Upper bound on the words of scratch of all plans.
  uint64_t scratch_words = 0;
};

}  // namespace sinter::kernels

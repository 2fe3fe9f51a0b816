// What measuring may choose about a dispatch, as the kernel's own folder declares it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"

namespace sinter::kernels {

// The plans of one shape. All give the same results but for rounding, over the same operands.
struct Tunable {
  // Kernel that a user names to force a variant of it; empty where none can be forced.
  std::string_view kernel;
  // Sizes that the best guess's `variant` does not name but that decide which plan is quickest.
  std::string sizes;
  // Variants worth measuring.
  std::function<std::vector<std::string>()> variants;
  // Plan of a variant, or of the best guess where it is empty. Throws Error for an unknown variant.
  std::function<KernelPlan(std::string_view variant)> plan;
  // Words of scratch that any of the plans may take, where the operands have scratch.
  uint64_t scratch_words = 0;
};

}  // namespace sinter::kernels

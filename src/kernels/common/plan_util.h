// What several Plan functions do alike: check an element type, pick a variant, count parts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernels/kernel_plan.h"

namespace sinter::kernels {

inline uint32_t CeilDiv(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

// The WGSL type of an operand that must be f16 or f32. Throws Error for any other type.
inline std::string_view FloatWgslType(const Caps& caps, std::string_view kernel, DType dtype) {
  if (dtype != DType::kF16 && dtype != DType::kF32) {
    throw Error("kernels", "element type of {}: got {}, want f16 or f32", kernel, DTypeName(dtype));
  }
  return WgslType(caps, dtype);
}

// `variant`, or `chosen` where it is empty. Throws Error where it is not among `known`.
inline std::string PickVariant(std::string_view kernel, std::string_view variant,
                               std::string_view chosen, const std::vector<std::string>& known) {
  if (variant.empty()) variant = chosen;
  if (std::find(known.begin(), known.end(), variant) == known.end()) {
    ThrowUnknownVariant(kernel, variant, known);
  }
  return std::string(variant);
}

// `names` without a suffix, and with `.sg` after each where the adapter has subgroups.
inline std::vector<std::string> WithSubgroupVariants(const Caps& caps,
                                                     std::vector<std::string> names) {
  if (caps.subgroups) {
    const size_t count = names.size();
    for (size_t i = 0; i < count; ++i) names.push_back(names[i] + ".sg");
  }
  return names;
}

}  // namespace sinter::kernels

// Helpers that several Plan functions share: they check an element type, pick a variant, count
// parts.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernels/kernel_plan.h"

namespace sinter::kernels {

inline uint32_t CeilDiv(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

// Returns the WGSL type of an operand that must be f16 or f32. Throws Error for any other type.
inline std::string_view FloatWgslType(const Caps& caps, std::string_view kernel, DType dtype) {
  if (dtype != DType::kF16 && dtype != DType::kF32) {
    throw Error("kernels", "element type of {}: got {}, want f16 or f32", kernel, DTypeName(dtype));
  }
  return WgslType(caps, dtype);
}

// Returns `variant`, or `chosen` if it is empty. Throws Error if the result is not among `known`.
inline std::string PickVariant(std::string_view kernel, std::string_view variant,
                               std::string_view chosen, const std::vector<std::string>& known) {
  if (variant.empty()) variant = chosen;
  if (std::find(known.begin(), known.end(), variant) == known.end()) {
    ThrowUnknownVariant(kernel, variant, known);
  }
  return std::string(variant);
}

// A variant of kernels whose threads add up values within a workgroup: through workgroup memory
// (`wg64`), or through subgroups first (`wg64.sg`).
struct WorkgroupVariant {
  uint32_t threads = 64;
  bool subgroups = false;
  std::string name() const { return fmt::format("wg{}{}", threads, subgroups ? ".sg" : ""); }
};

// Returns the names of the variants with these numbers of threads. Those with subgroups are
// included if the adapter has subgroups.
inline std::vector<std::string> WorkgroupVariantNames(const Caps& caps,
                                                      std::initializer_list<uint32_t> threads) {
  std::vector<std::string> names;
  for (const bool subgroups : {false, true}) {
    for (const uint32_t count : threads) {
      if (!subgroups || caps.subgroups) names.push_back(WorkgroupVariant{count, subgroups}.name());
    }
  }
  return names;
}

// Returns the variant of that name. If the name is empty, returns the variant of `chosen` threads,
// with subgroups if the adapter has them. Throws Error for a name that is not among the variants of
// `threads`.
inline WorkgroupVariant PickWorkgroupVariant(const Caps& caps, std::string_view kernel,
                                             std::string_view variant, uint32_t chosen,
                                             std::initializer_list<uint32_t> threads) {
  if (variant.empty()) return {chosen, caps.subgroups};
  for (const bool subgroups : {false, true}) {
    for (const uint32_t count : threads) {
      const WorkgroupVariant known = {count, subgroups};
      if (variant == known.name() && (!subgroups || caps.subgroups)) return known;
    }
  }
  ThrowUnknownVariant(kernel, variant, WorkgroupVariantNames(caps, threads));
}

}  // namespace sinter::kernels

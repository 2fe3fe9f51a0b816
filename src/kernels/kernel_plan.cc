#include "kernels/kernel_plan.h"

#include <fmt/ranges.h>

#include "base/check.h"
#include "base/error.h"
#include "kernels/unknown_variant.h"

namespace sinter::kernels {

std::array<uint32_t, 3> FoldGrid(const Caps& caps, uint64_t count) {
  const uint64_t limit = caps.limits.max_workgroups_per_dimension;
  if (count <= limit) return {static_cast<uint32_t>(count == 0 ? 1 : count), 1, 1};
  const uint64_t rows = (count + limit - 1) / limit;
  SINTER_CHECK(rows <= limit, "a grid of {} workgroups does not fit two dimensions of {}", count,
               limit);
  return {static_cast<uint32_t>((count + rows - 1) / rows), static_cast<uint32_t>(rows), 1};
}

DType DeviceDType(const Caps& caps, DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
    case DType::kU32:
    case DType::kU8:
      return dtype;
    case DType::kF16:
      return caps.f16 ? DType::kF16 : DType::kF32;
    case DType::kI64:
      return DType::kI32;
    case DType::kBool:
      return DType::kU32;
    default:
      throw Error("kernels", "element type: got {}, want f16, f32, i32, i64, bool or packed u8",
                  DTypeName(dtype));
  }
}

std::string_view WgslType(const Caps& caps, DType dtype) {
  const DType device = DeviceDType(caps, dtype);
  if (device == DType::kU8) {
    throw Error(
        "kernels",
        "element type: got u8, want f16, f32, i32, i64 or bool (u8 is for packed weights only)");
  }
  return DTypeName(device);
}

void ThrowUnknownVariant(std::string_view kernel, std::string_view variant,
                         const std::vector<std::string>& known) {
  throw UnknownVariant("kernels",
                       fmt::format("variant of {}: got '{}', want one of: {}", kernel, variant,
                                   fmt::join(known, ", ")),
                       std::string(variant), known);
}

}  // namespace sinter::kernels

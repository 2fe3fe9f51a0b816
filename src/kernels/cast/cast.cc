#include "kernels/cast/cast.h"

#include <fmt/format.h>

#include <array>

#include "kernels/common/indexing.h"

namespace sinter::kernels {
namespace {

// Returns the WGSL expression that converts `x` of type `from` to `to`.
std::string_view Conversion(std::string_view from, std::string_view to) {
  const bool from_float = from == "f32" || from == "f16";
  if (from == to) return "x";
  if (to == "u32") return from_float ? "is_true(f32(x))" : "select(0u, 1u, x != 0)";
  if (to == "i32") return from_float ? "saturate_i32(f32(x))" : "i32(x)";
  // The conversion goes through f32, because i32 does not fit f16.
  return "to_t(f32(x))";
}

}  // namespace

bool CastIsCopy(const Caps& caps, DType from, DType to) {
  return WgslType(caps, from) == WgslType(caps, to);
}

KernelPlan PlanCast(const Caps& caps, const CastShape& shape, std::string_view variant) {
  if (!variant.empty() && variant != "vec4") ThrowUnknownVariant("cast", variant, {"vec4"});
  const std::string_view from = WgslType(caps, shape.from), to = WgslType(caps, shape.to);
  KernelPlan plan;
  plan.variant = fmt::format("cast.{}_to_{}.vec4", from, to);
  plan.wgsl = "cast/cast.wgsl";
  plan.prelude = fmt::format(
      "alias from_t = {};\nalias to_t = {};\nfn convert(x: from_t) -> to_t {{ return {}; }}\n",
      from, to, Conversion(from, to));
  if (from == "f16" || to == "f16") plan.defines.push_back("f16");
  if (shape.fault_word != 0) {
    plan.defines.push_back("faults");
    plan.variant += ".faults";
  }
  const int64_t elems = NumElems(std::array{shape.elems});
  const int64_t per_group = 4 * kElementwiseThreads;
  plan.workgroups = FoldGrid(caps, (elems + per_group - 1) / per_group);
  plan.SetParams(CastParams{static_cast<uint32_t>(elems), plan.workgroups[0], shape.fault_word, 0});
  return plan;
}

}  // namespace sinter::kernels

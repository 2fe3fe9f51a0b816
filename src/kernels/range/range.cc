#include "kernels/range/range.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "kernels/common/indexing.h"

namespace sinter::kernels {
namespace {

// The bits of `value` as the WGSL type `compute`.
uint32_t BitsOf(std::string_view compute, DType dtype, double value) {
  if (compute == "f32") return std::bit_cast<uint32_t>(static_cast<float>(value));
  const bool is_bool = compute == "u32";
  const double least = is_bool ? 0 : -0x1p31, most = is_bool ? 1 : 0x1p31 - 1;
  if (!(value >= least && value <= most) || value != std::trunc(value)) {
    throw Error("kernels", "range: got {} for a tensor of {}, want an integer from {} to {}", value,
                DTypeName(dtype), least, most);
  }
  return static_cast<uint32_t>(static_cast<int32_t>(value));
}

}  // namespace

int64_t RangeElems(double start, double limit, double delta) {
  if (delta == 0 || !std::isfinite(start) || !std::isfinite(limit) || !std::isfinite(delta)) {
    throw Error("kernels",
                "range: got {} to {} by {}, want finite numbers and a delta other than 0", start,
                limit, delta);
  }
  const double elems = std::ceil((limit - start) / delta);
  if (elems > 0x1p31 - 1)
    throw Error("kernels", "range: got {} elements, want at most 2^31 - 1", elems);
  return elems > 0 ? static_cast<int64_t>(elems) : 0;
}

KernelPlan PlanRange(const Caps& caps, const RangeShape& shape, std::string_view variant) {
  if (!variant.empty() && variant != "elem") ThrowUnknownVariant("range", variant, {"elem"});
  const std::string_view type = WgslType(caps, shape.dtype);
  const std::string_view compute = type == "f16" ? "f32" : type;
  if (type == "u32" && shape.delta != 0) {
    throw Error("kernels", "range: got a delta of {} for bool, want 0", shape.delta);
  }
  KernelPlan plan;
  plan.variant = fmt::format("range.{}.elem", type);
  plan.wgsl = "range/range.wgsl";
  plan.prelude = fmt::format("alias elem_t = {};\nalias compute_t = {};\n", type, compute);
  if (type == "f16") plan.defines.push_back("f16");
  const int64_t elems = NumElems(std::array{shape.elems});
  plan.workgroups = FoldGrid(caps, (elems + kElementwiseThreads - 1) / kElementwiseThreads);
  // -0.0 counts as the 0 that the shader looks for.
  plan.SetParams(RangeParams{static_cast<uint32_t>(elems), plan.workgroups[0],
                             BitsOf(compute, shape.dtype, shape.start),
                             shape.delta == 0 ? 0 : BitsOf(compute, shape.dtype, shape.delta)});
  return plan;
}

KernelPlan PlanFill(const Caps& caps, DType dtype, int64_t elems, double value,
                    std::string_view variant) {
  return PlanRange(caps, {.dtype = dtype, .elems = elems, .start = value, .delta = 0}, variant);
}

}  // namespace sinter::kernels

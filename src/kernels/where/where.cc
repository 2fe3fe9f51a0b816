#include "kernels/where/where.h"

#include <fmt/format.h>

#include <algorithm>

namespace sinter::kernels {
namespace {

constexpr std::string_view kOperands[] = {"condition", "a", "b"};

// Returns the three operands and y over the shape of y, in as few dimensions as possible.
StridedSpace WhereSpace(const WhereShape& shape) {
  const std::vector<int64_t> y = WhereOutputShape(shape);
  NumElems(y);  // throws Error if y is too large
  return FoldDims({y,
                   {BroadcastStrides(shape.condition, y), BroadcastStrides(shape.a, y),
                    BroadcastStrides(shape.b, y), RowMajorStrides(y)}});
}

}  // namespace

std::vector<int64_t> WhereOutputShape(const WhereShape& shape) {
  return BroadcastShape(BroadcastShape(shape.condition, shape.a), shape.b);
}

std::vector<std::string> WhereVariants(const WhereShape& shape) {
  if (CanVectorize(WhereSpace(shape), true)) return {"vec4", "strided"};
  return {"strided"};
}

KernelPlan PlanWhere(const Caps& caps, const WhereShape& shape, std::string_view variant) {
  StridedSpace space = WhereSpace(shape);
  const std::vector<std::string> known = WhereVariants(shape);
  if (variant.empty()) variant = known.front();
  if (std::find(known.begin(), known.end(), variant) == known.end()) {
    ThrowUnknownVariant("where", variant, known);
  }
  // Elements are only copied, so every 4-byte type is handled as u32.
  const std::string_view type = WgslType(caps, shape.dtype) == "f16" ? "f16" : "u32";
  KernelPlan plan;
  plan.variant = fmt::format("where.{}.{}", type, variant);
  if (variant == "vec4") {
    plan.defines.push_back("vec4");
    for (size_t i = 0; i < 3; ++i) {
      if (IsUnitStride(space, i)) {
        plan.defines.push_back(fmt::format("{}_vec4", kOperands[i]));
      } else {
        plan.variant += fmt::format(".splat_{}", kOperands[i]);
      }
    }
    space = ToVectors(space);
  }
  if (type == "f16") plan.defines.push_back("f16");
  plan.wgsl = "where/where.wgsl";
  plan.prelude = fmt::format("alias elem_t = {};\n", type);
  const int64_t threads = NumElems(space.sizes);
  plan.workgroups = FoldGrid(caps, (threads + kElementwiseThreads - 1) / kElementwiseThreads);
  plan.SetParams(WhereParams{.threads = static_cast<uint32_t>(threads),
                             .grid_x = plan.workgroups[0],
                             .rank = static_cast<uint32_t>(space.sizes.size()),
                             .sizes = ToDeviceDims(space.sizes, 1),
                             .condition_strides = ToDeviceDims(space.strides[0], 0),
                             .a_strides = ToDeviceDims(space.strides[1], 0),
                             .b_strides = ToDeviceDims(space.strides[2], 0)});
  return plan;
}

}  // namespace sinter::kernels

#include "kernels/gather/gather.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/error.h"

namespace sinter::kernels {
namespace {

constexpr uint32_t kGatherWorkgroup = 64;

uint64_t InnerBytes(const Caps& caps, const GatherShape& shape) {
  // WgslType throws for types without a form on the GPU, packed u8 too.
  WgslType(caps, shape.dtype);
  return uint64_t{shape.inner} * DTypeBits(DeviceDType(caps, shape.dtype)) / 8;
}

}  // namespace

std::vector<std::string> GatherVariants(const Caps& caps, const GatherShape& shape) {
  std::vector<std::string> variants;
  for (const uint32_t bytes : {16u, 8u, 4u, 2u}) {
    if (bytes == 2 && DeviceDType(caps, shape.dtype) != DType::kF16) continue;
    if (InnerBytes(caps, shape) % bytes == 0) variants.push_back(fmt::format("b{}", bytes));
  }
  return variants;
}

KernelPlan PlanGather(const Caps& caps, const GatherShape& shape, std::string_view variant) {
  const uint32_t row_count = shape.row_count == 0 ? shape.axis - shape.row_begin : shape.row_count;
  SINTER_CHECK(shape.outer > 0 && shape.axis > 0 && shape.inner > 0);
  SINTER_CHECK(shape.axis <= uint32_t{std::numeric_limits<int32_t>::max()});
  SINTER_CHECK(uint64_t{shape.row_begin} + row_count <= shape.axis);
  if (row_count != shape.axis && shape.outer != 1) {
    throw Error("kernels", "rows {} to {} of Gather: got {} outer slices, want 1", shape.row_begin,
                shape.row_begin + row_count, shape.outer);
  }
  const std::vector<std::string> variants = GatherVariants(caps, shape);
  if (variant.empty()) variant = variants.front();
  if (std::find(variants.begin(), variants.end(), variant) == variants.end()) {
    ThrowUnknownVariant("gather", variant, variants);
  }
  const uint32_t unit_bytes = variant == "b16" ? 16 : variant == "b8" ? 8 : variant == "b4" ? 4 : 2;

  KernelPlan plan;
  plan.wgsl = "gather/gather.wgsl";
  plan.prelude = fmt::format("alias unit_t = {};\n", unit_bytes == 16  ? "vec4<u32>"
                                                     : unit_bytes == 8 ? "vec2<u32>"
                                                     : unit_bytes == 4 ? "u32"
                                                                       : "f16");
  if (unit_bytes == 2) plan.defines.emplace_back("f16");
  plan.variant = fmt::format("gather.{}", variant);

  GatherParams params = {};
  params.axis = shape.axis;
  params.inner_units = static_cast<uint32_t>(InnerBytes(caps, shape) / unit_bytes);
  params.indices = shape.indices;
  params.row_begin = shape.row_begin;
  params.row_count = row_count;
  const uint64_t threads = uint64_t{shape.outer} * shape.indices * params.inner_units;
  SINTER_CHECK(threads <= std::numeric_limits<uint32_t>::max(), "output of {} units", threads);
  params.threads = static_cast<uint32_t>(threads);
  plan.workgroups = FoldGrid(caps, (threads + kGatherWorkgroup - 1) / kGatherWorkgroup);
  params.grid_x = plan.workgroups[0];
  plan.SetParams(params);
  return plan;
}

std::vector<RowRange> SplitGather(const Caps& caps, const GatherShape& shape) {
  const uint64_t row_bytes[] = {InnerBytes(caps, shape)};
  if (shape.outer != 1) {
    const uint64_t whole[] = {shape.outer * shape.axis * row_bytes[0]};
    SplitRows(caps, 1, whole);
    return {{0, shape.axis}};
  }
  return SplitRows(caps, shape.axis, row_bytes);
}

}  // namespace sinter::kernels

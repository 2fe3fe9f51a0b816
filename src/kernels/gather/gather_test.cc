// Cases of Gather: any axis and type, copies of every width, indices of every sign and past the
// axis.

#include "kernels/gather/gather.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

// Rows that are not bound must keep their values.
constexpr double kUntouched = 7.0;

std::vector<double> Indices(const GatherShape& shape) {
  const double axis = shape.axis;
  std::vector<double> indices = {axis - 1, -1, 0, -axis, -axis - 2, axis + 100};
  while (indices.size() < shape.indices) {
    indices.push_back(static_cast<double>(indices.size() * 7919 % shape.axis));
  }
  indices.resize(shape.indices);
  return indices;
}

std::vector<Operand> MakeOperands(const GatherShape& shape, DType device) {
  const size_t count = size_t{shape.outer} * shape.axis * shape.inner;
  std::vector<double> data = RandomValues(shape.dtype, count, 1, 1000.0);
  if (!IsFloat(shape.dtype)) {
    for (double& value : data) value = std::trunc(value);
  }
  const std::vector<double> indices = Indices(shape);
  // A copy is exact.
  Operand out = Operand::Output(device, GatherReference(shape, data, indices), 0);
  if (shape.row_count != 0) {
    out.values.assign(out.expected.size(), kUntouched);
    for (size_t i = 0; i < shape.indices; ++i) {
      const double from_start = indices[i] < 0 ? indices[i] + shape.axis : indices[i];
      const double row = std::clamp(from_start, 0.0, shape.axis - 1.0);
      if (row >= shape.row_begin && row < shape.row_begin + shape.row_count) continue;
      std::fill_n(out.expected.begin() + i * shape.inner, shape.inner, kUntouched);
    }
    data = {data.begin() + shape.row_begin * shape.inner,
            data.begin() + (shape.row_begin + shape.row_count) * shape.inner};
  }
  return {Operand::Input(device, std::move(data)), Operand::Input(DType::kI32, indices),
          std::move(out)};
}

std::vector<KernelCase> MakeCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const GatherShape& shape, bool without_f16 = false) -> KernelCase& {
    const Caps used = without_f16 ? WithoutF16(caps) : caps;
    const DType device = DeviceDType(used, shape.dtype);
    cases.push_back(
        {.name = fmt::format("{}x{}x{}.i{}.{}{}{}", shape.outer, shape.axis, shape.inner,
                             shape.indices, DTypeName(shape.dtype),
                             shape.row_count == 0 ? "" : fmt::format(".from{}", shape.row_begin),
                             without_f16 ? ".widened" : ""),
         .operands = [=] { return MakeOperands(shape, device); },
         .variants = GatherVariants(used, shape),
         .plan =
             [=](const Caps& actual, std::string_view variant) {
               return PlanGather(without_f16 ? WithoutF16(actual) : actual, shape, variant);
             }});
    return cases.back();
  };
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI32, DType::kI64}) {
    for (const uint32_t inner : {1u, 2u, 3u, 8u, 35u}) {
      add({.outer = 1, .axis = 11, .inner = inner, .indices = 9, .dtype = dtype});
      add({.outer = 5, .axis = 7, .inner = inner, .indices = 13, .dtype = dtype});
    }
  }
  add({.outer = 1, .axis = 1, .inner = 1, .indices = 1, .dtype = DType::kI64});
  add({.outer = 1, .axis = 5005, .inner = 13, .indices = 77, .dtype = DType::kF16});
  add({.outer = 2, .axis = 9, .inner = 6, .indices = 4, .dtype = DType::kF16}, true);
  // Binds only rows [16, 48).
  add({.axis = 64,
       .inner = 24,
       .indices = 40,
       .dtype = DType::kF16,
       .row_begin = 16,
       .row_count = 32});
  // Embeddings of a prompt of 512 tokens, 2048 wide.
  KernelCase& model = add({.axis = 4096, .inner = 2048, .indices = 512, .dtype = DType::kF16});
  model.bytes = 512.0 * 2048 * 2 * 2;
  return cases;
}

const bool kRegistered = RegisterKernelCases("gather", MakeCases);

TEST(Gather, CopiesTheWidestUnit) {
  Caps caps;
  caps.f16 = true;
  EXPECT_EQ(PlanGather(caps, {.inner = 8, .dtype = DType::kF16}).variant, "gather.b16");
  EXPECT_EQ(PlanGather(caps, {.inner = 6, .dtype = DType::kF16}).variant, "gather.b4");
  EXPECT_EQ(PlanGather(caps, {.inner = 5, .dtype = DType::kF16}).variant, "gather.b2");
  EXPECT_EQ(PlanGather({}, {.inner = 6, .dtype = DType::kF16}).variant, "gather.b8");
}

TEST(Gather, SplitsRowsThatDoNotFitABinding) {
  Caps caps;
  caps.limits.max_storage_binding_bytes = 1 << 20;
  EXPECT_EQ(SplitGather(caps, {.axis = 1000, .inner = 64}).size(), 1u);
  EXPECT_EQ(SplitGather(caps, {.axis = 10000, .inner = 64}).size(), 3u);
  EXPECT_EQ(SplitGather(caps, {.outer = 2, .axis = 1000, .inner = 64}).size(), 1u);
  EXPECT_THROW(SplitGather(caps, {.outer = 2, .axis = 10000, .inner = 64}), Error);
}

TEST(Gather, RefusesWhatItDoesNotHave) {
  EXPECT_THROW(PlanGather({}, {.outer = 2, .axis = 8, .row_begin = 0, .row_count = 4}), Error);
  EXPECT_THROW(PlanGather({}, {.inner = 3}, "b16"), Error);
  EXPECT_THROW(PlanGather({}, {.dtype = DType::kU8}), Error);
}

}  // namespace
}  // namespace sinter::kernels

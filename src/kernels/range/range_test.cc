#include "kernels/range/range.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "kernels/common/indexing_testing.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

void AddCase(const Caps& caps, const RangeShape& shape, bool widened,
             std::vector<KernelCase>& cases) {
  const DType device = DeviceDType(widened ? WithoutF16(caps) : caps, shape.dtype);
  KernelCase c;
  c.name = fmt::format("{}_by_{}.n{}.{}{}", shape.start, shape.delta, shape.elems,
                       DTypeName(shape.dtype), widened ? ".widened" : "");
  c.variants = {"elem"};
  c.operands = [=] {
    const std::vector<double> y = RangeReference(shape.start, shape.delta, shape.elems);
    double abs = 0, rel = 0;
    if (IsFloat(shape.dtype) && shape.delta != 0) {
      // Three roundings (start, delta, the sum) of the largest terms, either way.
      abs =
          6 * Epsilon(DType::kF32) * (std::abs(shape.start) + std::abs(shape.delta) * shape.elems);
    }
    if (device == DType::kF16) rel = 2 * Epsilon(DType::kF16);
    return std::vector<Operand>{Operand::Output(device, y, abs, rel)};
  };
  c.plan = [=](const Caps& on, std::string_view variant) {
    return PlanRange(widened ? WithoutF16(on) : on, shape, variant);
  };
  cases.push_back(std::move(c));
}

const bool kRegistered = RegisterKernelCases("range", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI32, DType::kI64}) {
    AddCase(caps, {dtype, 1, 5, 1}, false, cases);
    AddCase(caps, {dtype, 3, -1, -2}, false, cases);
    AddCase(caps, {dtype, 5 * 7 * 11 * 13, 7, 3}, false, cases);
    AddCase(caps, {dtype, 5 * 7 * 11 * 13, -3, 0}, false, cases);
  }
  AddCase(caps, {DType::kI32, 5005, -7, 2}, false, cases);
  cases.back() = WithFoldedGrid(cases.back(), 6);
  AddCase(caps, {DType::kF32, 1001, 0.5, -0.1f}, false, cases);
  AddCase(caps, {DType::kF16, 1001, 0.5, 0.25}, true, cases);
  AddCase(caps, {DType::kF32, 257, -INFINITY, 0}, false, cases);
  AddCase(caps, {DType::kF16, 257, -INFINITY, -0.0}, false, cases);
  AddCase(caps, {DType::kBool, 257, 1, 0}, false, cases);
  AddCase(caps, {DType::kI32, 3, std::numeric_limits<int32_t>::min(), 0}, false, cases);
  return cases;
});

TEST(Range, CountsElements) {
  EXPECT_EQ(RangeElems(0, 5, 1), 5);
  EXPECT_EQ(RangeElems(0, 5, 2), 3);
  EXPECT_EQ(RangeElems(10, 0, -3), 4);
  EXPECT_EQ(RangeElems(0, 5, -1), 0);
  EXPECT_EQ(RangeElems(3, 3, 1), 0);
  EXPECT_THROW(RangeElems(0, 5, 0), Error);
  EXPECT_THROW(RangeElems(0, NAN, 1), Error);
  EXPECT_THROW(RangeElems(0, 1e12, 1), Error);
}

TEST(Range, FillIsTheRangeThatStandsStill) {
  const KernelPlan fill = PlanFill({}, DType::kF32, 10, 2.5);
  const KernelPlan range = PlanRange({}, {DType::kF32, 10, 2.5, 0});
  EXPECT_EQ(fill.variant, range.variant);
  EXPECT_EQ(fill.params, range.params);
}

TEST(Range, FoldsGridsAndEmptyTensors) {
  EXPECT_EQ(PlanFill({}, DType::kI32, 65535 * 256 + 1, 0).workgroups,
            (std::array<uint32_t, 3>{32768, 2, 1}));
  RangeParams params;
  std::memcpy(&params, PlanFill({}, DType::kI32, 0, 0).params.data(), sizeof params);
  EXPECT_EQ(params.elems, 0u);
}

TEST(Range, RefusesWhatItCannotDo) {
  EXPECT_THROW(PlanFill({}, DType::kI32, 1, 0.5), Error);
  EXPECT_THROW(PlanFill({}, DType::kI64, 1, 3e9), Error);
  EXPECT_THROW(PlanFill({}, DType::kI64, 1, NAN), Error);
  EXPECT_THROW(PlanFill({}, DType::kBool, 1, 2), Error);
  EXPECT_THROW(PlanFill({}, DType::kF64, 1, 2), Error);
  EXPECT_THROW(PlanFill({}, DType::kF32, -1, 2), Error);
  EXPECT_THROW(PlanFill({}, DType::kF32, 1, 2, "vec4"), Error);
  EXPECT_THROW(PlanRange({}, {DType::kBool, 1, 0, 1}), Error);
}

}  // namespace
}  // namespace sinter::kernels

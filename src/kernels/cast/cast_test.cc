#include "kernels/cast/cast.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/common/indexing_testing.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

std::vector<double> Inputs(DType from, DType to, size_t elems) {
  std::vector<double> x = RandomValues(from, elems, 1, 1000);
  // Truncation of both signs, the ends of i32 and values past them, and values past the end of f16.
  std::vector<double> special = {0, -0.0, 0.5, -0.5, 2.75, -2.75, 65504, -65504, 1e9, -1e9, 70000};
  if (from == DType::kF32 && to != DType::kF16) {
    special.insert(special.end(), {2147483520, 2147483648, -2147483648, 3e9, -3e9, 1e30, -1e30});
  }
  if (from == DType::kF32 && to == DType::kF16) {
    special = {0, -0.0, 65504, -65504, 1e-3, 0.1, -1.0 / 3, 70000, -1e30};
  }
  if (from == DType::kF32 && !IsFloat(to)) special.push_back(NAN);
  if (from == DType::kF16) special = {0, -0.0, 0.5, -0.5, 2.75, -2.75, 65504, -65504};
  if (from == DType::kI32 || from == DType::kI64) {
    special = {0, 1, -1, 2147483647, -2147483648.0, 16777217};
    if (to == DType::kF16) special = {0, 1, -1, 65504, -65504, 2049, 4097, 70000, -2e9};
  }
  for (size_t i = 0; i < special.size() && i + 2 < elems; ++i) x[i + 2] = special[i];
  for (double& value : x) {
    if (from == DType::kBool) value = value > 0;
    if (from == DType::kI32 || from == DType::kI64) value = std::trunc(value);
  }
  return RoundTo(from, std::move(x));
}

void AddCase(const Caps& caps, DType from, DType to, int64_t elems, bool widened,
             std::vector<KernelCase>& cases) {
  const Caps used = widened ? WithoutF16(caps) : caps;
  const DType device_from = DeviceDType(used, from), device_to = DeviceDType(used, to);
  KernelCase c;
  c.name = fmt::format("{}_to_{}.n{}{}", DTypeName(from), DTypeName(to), elems,
                       widened ? ".widened" : "");
  c.variants = {"vec4"};
  c.operands = [=] {
    const std::vector<double> x = Inputs(from, to, elems);
    // On the device i64 has 32 bits, and f16 may be f32.
    const DType target = to == DType::kI64 ? DType::kI32 : to == DType::kF16 ? device_to : to;
    // WGSL may round up or down, and an f16 below 2^-14 may become 0. Everything else is exact.
    const bool rounds = target == DType::kF16 && from != DType::kF16 && from != DType::kBool;
    const bool rounds_int = target == DType::kF32 && (from == DType::kI32 || from == DType::kI64);
    const double rel = rounds       ? 2 * Epsilon(DType::kF16)
                       : rounds_int ? 2 * Epsilon(DType::kF32)
                                    : 0;
    return std::vector<Operand>{
        Operand::Input(device_from, x),
        Operand::Output(device_to, CastReference(target, x), rounds ? 0x1p-14 : 0, rel)};
  };
  c.plan = [=](const Caps& on, std::string_view variant) {
    return PlanCast(widened ? WithoutF16(on) : on, {from, to, elems}, variant);
  };
  const auto item = [](DType dtype) { return dtype == DType::kF16 ? 2.0 : 4.0; };
  c.bytes = elems > 100000 ? elems * (item(device_from) + item(device_to)) : 0;
  cases.push_back(std::move(c));
}

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kI32, DType::kI64, DType::kBool};

const bool kRegistered = RegisterKernelCases("cast", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  for (const DType from : kTypes) {
    for (const DType to : kTypes) {
      AddCase(caps, from, to, 5 * 7 * 11 * 13, false, cases);
      AddCase(caps, from, to, 1, false, cases);
      AddCase(caps, from, to, 3, false, cases);
      if (from == DType::kF16 || to == DType::kF16) AddCase(caps, from, to, 1025, true, cases);
    }
  }
  // Casts to int64 that note what does not fit 32 bits. The element behind the last one is padding.
  for (const double value : {2147483520.0, 2147483648.0, -2147483648.0, -3e9, 1e30, double{NAN}}) {
    KernelCase c;
    c.name = fmt::format("faults.{}", value);
    c.operands = [=] {
      const std::vector<double> x = {1, -2, 3, 4, value, 1e30};
      const bool fits = value >= -0x1p31 && value < 0x1p31;
      Operand faults = Operand::Output(DType::kU32, {fits ? 3.0 : 7.0}, 0);
      faults.values = {3};
      return std::vector<Operand>{
          Operand::Input(DType::kF32, x),
          Operand::Output(DType::kI32, CastReference(DType::kI32, std::span(x).first(5)), 0),
          std::move(faults)};
    };
    c.plan = [=](const Caps& on, std::string_view variant) {
      return PlanCast(on, {DType::kF32, DType::kI64, 5, 7}, variant);
    };
    cases.push_back(std::move(c));
  }
  AddCase(caps, DType::kI32, DType::kF32, 5005, false, cases);
  cases.back() = WithFoldedGrid(cases.back(), 3);
  AddCase(caps, DType::kF16, DType::kF32, 512 * 2048, false, cases);
  return cases;
});

TEST(Cast, ReferenceSaturatesAndRounds) {
  EXPECT_EQ(
      CastReference(DType::kI32, std::vector<double>{NAN, INFINITY, -INFINITY, 2.9, -2.9, 1e10}),
      (std::vector<double>{0, 2147483647, -2147483648.0, 2, -2, 2147483647}));
  EXPECT_EQ(CastReference(DType::kI64, std::vector<double>{1e10}), (std::vector<double>{1e10}));
  EXPECT_EQ(CastReference(DType::kBool, std::vector<double>{0, -0.0, 0.25, NAN}),
            (std::vector<double>{0, 0, 1, 1}));
  EXPECT_EQ(CastReference(DType::kF16, std::vector<double>{2049, 1e6}),
            (std::vector<double>{2048, INFINITY}));
}

TEST(Cast, KnowsWhereNothingChangesOnTheDevice) {
  Caps caps;
  EXPECT_TRUE(CastIsCopy(caps, DType::kF16, DType::kF32));
  EXPECT_TRUE(CastIsCopy(caps, DType::kI64, DType::kI32));
  EXPECT_FALSE(CastIsCopy(caps, DType::kBool, DType::kI32));
  caps.f16 = true;
  EXPECT_FALSE(CastIsCopy(caps, DType::kF16, DType::kF32));
}

TEST(Cast, FoldsGridsAndEmptyTensors) {
  const KernelPlan plan = PlanCast({}, {DType::kF32, DType::kI32, int64_t{65535} * 1024 + 1});
  EXPECT_EQ(plan.workgroups, (std::array<uint32_t, 3>{32768, 2, 1}));
  CastParams params;
  std::memcpy(&params, PlanCast({}, {DType::kF32, DType::kI32, 0}).params.data(), sizeof params);
  EXPECT_EQ(params.elems, 0u);
}

TEST(Cast, RefusesWhatItCannotDo) {
  EXPECT_THROW(PlanCast({}, {DType::kF64, DType::kF32, 1}), Error);
  EXPECT_THROW(PlanCast({}, {DType::kF32, DType::kU8, 1}), Error);
  EXPECT_THROW(PlanCast({}, {DType::kF32, DType::kI32, -1}), Error);
  EXPECT_THROW(PlanCast({}, {DType::kF32, DType::kI32, 1}, "scalar"), Error);
}

}  // namespace
}  // namespace sinter::kernels

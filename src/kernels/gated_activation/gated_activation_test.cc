#include "kernels/gated_activation/gated_activation.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

constexpr double kMostUp = 8;

std::string_view Name(GatedActivation activation) {
  if (activation == GatedActivation::kGelu) return "gelu";
  return activation == GatedActivation::kSilu ? "silu" : "gelu_tanh";
}

std::vector<Operand> MakeOperands(const GatedActivationShape& shape, bool widen) {
  const DType dtype = widen ? DType::kF32 : shape.dtype;
  auto x = RandomValues(shape.dtype, size_t{shape.rows} * 2 * shape.cols, 7, 2.0);
  // Within 10 the activations are off by at most 2^-18 absolutely and 2^-17 relatively (the bounds
  // of the elementwise kernel). The product carries both errors, times |up| <= 8.
  for (double& value : x) value = std::clamp(value, -kMostUp, kMostUp);
  const bool half = dtype == DType::kF16;
  return {Operand::Input(dtype, x),
          Operand::Output(dtype, GatedActivationReference(shape, x),
                          kMostUp * 0x1p-18 + (half ? 0x1p-14 : 0),
                          0x1p-17 + (half ? 2 * Epsilon(DType::kF16) : 0x1p-23))};
}

const bool kRegistered = RegisterKernelCases("gated_activation", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](GatedActivationShape shape, bool widen = false) {
    if (shape.dtype == DType::kF16 && !caps.f16) widen = true;
    KernelCase c;
    c.name = fmt::format("{}.{}x{}.{}{}", Name(shape.activation), shape.rows, shape.cols,
                         DTypeName(shape.dtype), widen ? ".widened" : "");
    c.operands = [=] { return MakeOperands(shape, widen); };
    c.variants = GatedActivationVariants(shape);
    c.plan = [=](Caps device, std::string_view variant) {
      if (widen) device = WithoutF16(device);
      return PlanGatedActivation(device, shape, variant);
    };
    c.bytes = double(shape.rows) * shape.cols * 3 * (DTypeBits(shape.dtype) / 8);
    cases.push_back(std::move(c));
  };
  for (const GatedActivation activation :
       {GatedActivation::kSilu, GatedActivation::kGelu, GatedActivation::kGeluTanh}) {
    for (const DType dtype : {DType::kF32, DType::kF16}) {
      add({1, 1, activation, dtype});
      add({3, 7, activation, dtype});
      add({2, 12, activation, dtype});
      add({7, 5 * 11 * 13, activation, dtype});
    }
  }
  add({.rows = 3, .cols = 100, .dtype = DType::kF16}, true);
  add({.rows = 70000, .cols = 1});
  for (const uint32_t rows : {1u, 256u}) add({.rows = rows, .cols = 6144, .dtype = DType::kF16});
  return cases;
});

TEST(GatedActivation, ReferenceMatchesHandComputedRows) {
  const auto got =
      GatedActivationReference({.rows = 2, .cols = 1}, std::vector<double>{0, 5, 2, 3});
  EXPECT_DOUBLE_EQ(got[0], 0);
  EXPECT_DOUBLE_EQ(got[1], 2 / (1 + std::exp(-2.)) * 3);
}

TEST(GatedActivation, RefusesUnknownVariantsAndTypes) {
  EXPECT_THROW(PlanGatedActivation({}, {.cols = 4}, "fast"), Error);
  EXPECT_THROW(PlanGatedActivation({}, {.cols = 3}, "vec4"), Error);
  EXPECT_THROW(PlanGatedActivation({}, {.cols = 4, .dtype = DType::kI32}), Error);
}

}  // namespace
}  // namespace sinter::kernels

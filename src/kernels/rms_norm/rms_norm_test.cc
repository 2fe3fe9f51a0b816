#include "kernels/rms_norm/rms_norm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

// Returns the error of the f32 arithmetic: a row's sum of squares in chains of cols / 64 at least,
// and a few roundings for the rest. The sum of three normal values of up to 5 rounds twice by 2^-24
// of 15.
double RelativeError(uint32_t cols) { return 0x1p-24 * (16 + cols / 64.0); }
constexpr double kSumError = 0x1p-24 * 2 * 15;

std::vector<Operand> MakeOperands(const RmsNormShape& shape, bool widen) {
  const auto device = [&](DType dtype) { return widen ? DType::kF32 : dtype; };
  const size_t count = size_t{shape.rows} * shape.cols;
  const size_t skip_rows = shape.skip_rows == 0 ? shape.rows : shape.skip_rows;
  const auto input = RandomValues(shape.dtype, count, 1);
  const auto scale = RandomValues(shape.scale_dtype, shape.cols, 2);
  const auto skip =
      shape.has_skip ? RandomValues(shape.dtype, skip_rows * shape.cols, 3) : std::vector<double>{};
  const auto bias =
      shape.has_bias ? RandomValues(shape.dtype, shape.cols, 4) : std::vector<double>{};
  RmsNormResult want =
      RmsNormReference(shape.rows, shape.cols, shape.epsilon, input, scale, skip, bias);

  const DType output_dtype = device(shape.output_dtype);
  const DType sum_dtype = device(shape.dtype);
  // 2^-25 is half a step of a subnormal f16.
  const double subnormal = output_dtype == DType::kF16 ? 0x1p-25 : 0;
  // inv_std is about 0.6 with a skip and 1 without; a scale of 5 passes the sum's error to the
  // output.
  const double output_abs = subnormal + 5 * kSumError;
  std::vector<Operand> operands;
  operands.push_back(Operand::Input(device(shape.dtype), input));
  operands.push_back(Operand::Input(device(shape.scale_dtype), scale));
  operands.push_back(shape.has_skip ? Operand::Input(device(shape.dtype), skip)
                                    : Operand::Absent());
  operands.push_back(shape.has_bias ? Operand::Input(device(shape.dtype), bias)
                                    : Operand::Absent());
  operands.push_back(Operand::Output(output_dtype, std::move(want.output), output_abs,
                                     Epsilon(output_dtype) + RelativeError(shape.cols)));
  operands.push_back(shape.has_inv_std ? Operand::Output(DType::kF32, std::move(want.inv_std), 0,
                                                         RelativeError(shape.cols))
                                       : Operand::Absent());
  operands.push_back(
      shape.has_sum ? Operand::Output(sum_dtype, std::move(want.sum), kSumError, Epsilon(sum_dtype))
                    : Operand::Absent());
  return operands;
}

const bool kRegistered = RegisterKernelCases("rms_norm", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](std::string name, RmsNormShape shape, bool widen = false,
                       bool plain = false) {
    if ((shape.dtype == DType::kF16 || shape.scale_dtype == DType::kF16) && !caps.f16) widen = true;
    KernelCase c;
    c.name = fmt::format("{}x{}.{}.{}{}", shape.rows, shape.cols, DTypeName(shape.dtype),
                         DTypeName(shape.scale_dtype), name);
    c.operands = [=] { return MakeOperands(shape, widen); };
    c.variants = plain ? std::vector<std::string>{""} : RmsNormVariants(caps);
    c.plan = [=](Caps device, std::string_view variant) {
      if (widen) device = WithoutF16(device);
      if (plain) device = WithoutSubgroups(device);
      return PlanRmsNorm(device, shape, variant);
    };
    c.bytes = double(shape.rows) * shape.cols * 2 * (DTypeBits(shape.dtype) / 8);
    c.flops = 4.0 * shape.rows * shape.cols;
    cases.push_back(std::move(c));
  };
  const auto shape_of = [](uint32_t rows, uint32_t cols, DType dtype) {
    return RmsNormShape{
        .rows = rows, .cols = cols, .dtype = dtype, .scale_dtype = dtype, .output_dtype = dtype};
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const auto& [rows, cols] : {std::pair{1u, 1u},
                                     {1u, 3u},
                                     {2u, 64u},
                                     {3u, 65u},
                                     {7u, 127u},
                                     {5u, 128u},
                                     {2u, 129u},
                                     {1u, 1000u},
                                     {3u, 5u * 7 * 11 * 13},
                                     {1u, 2048u},
                                     {16u, 3072u},
                                     {70000u, 4u}}) {
      add("", shape_of(rows, cols, dtype));
    }
    for (const auto& [rows, cols] : {std::pair{1u, 3u}, {6u, 129u}, {4u, 2048u}}) {
      RmsNormShape shape = shape_of(rows, cols, dtype);
      shape.has_skip = true;
      add(".skip", shape);
      shape.has_sum = true;
      add(".skip.sum", shape);
      shape.has_bias = shape.has_inv_std = true;
      add(".skip.bias.inv_std.sum", shape);
      if (rows % 2 == 0) {
        shape.skip_rows = rows / 2;
        add(".skip_rows", shape);
      }
    }
    RmsNormShape shape = shape_of(3, 100, dtype);
    shape.has_inv_std = true;
    shape.epsilon = 0.5f;  // large enough to be seen
    add(".inv_std", shape);
  }
  // Scale and output have another type than the input.
  for (const uint32_t cols : {65u, 640u}) {
    RmsNormShape shape = shape_of(4, cols, DType::kF16);
    shape.scale_dtype = DType::kF32;
    add("", shape);
    shape.output_dtype = DType::kF32;
    add(".out_f32", shape);
  }
  add(".widened", shape_of(4, 1000, DType::kF16), true);
  add(".no_subgroups", shape_of(4, 1000, DType::kF32), false, true);
  return cases;
});

TEST(RmsNorm, ReferenceMatchesHandComputedRow) {
  const RmsNormResult result =
      RmsNormReference(1, 2, 0.5, std::vector<double>{1, 2}, std::vector<double>{1, 10},
                       std::vector<double>{1, 0}, std::vector<double>{1, 2});
  // sum = {3, 4}, mean of squares 12.5, inv_std = 1 / sqrt(13).
  EXPECT_EQ(result.sum, (std::vector<double>{3, 4}));
  EXPECT_DOUBLE_EQ(result.inv_std[0], 1 / std::sqrt(13.0));
  EXPECT_DOUBLE_EQ(result.output[1], 40 / std::sqrt(13.0));
}

TEST(RmsNorm, PlanPicksByWidthAndNamesWhatItDependsOn) {
  Caps caps;
  EXPECT_EQ(PlanRmsNorm(caps, {.cols = 128}).variant, "rms_norm.f32.f32.f32.vec4.wg64");
  caps.subgroups = true;
  EXPECT_EQ(PlanRmsNorm(caps, {.cols = 2050}).variant, "rms_norm.f32.f32.f32.wg256.sg");
  EXPECT_EQ(PlanRmsNorm(caps, {.rows = 65536, .cols = 4}).workgroups[1], 2u);
}

TEST(RmsNorm, RefusesUnknownVariantsAndTypes) {
  EXPECT_THROW(PlanRmsNorm({}, {.cols = 4}, "wg32"), Error);
  EXPECT_THROW(PlanRmsNorm({}, {.cols = 4}, "wg64.sg"), Error);  // the adapter has no subgroups
  EXPECT_THROW(PlanRmsNorm({}, {.cols = 4, .dtype = DType::kI32}), Error);
}

}  // namespace
}  // namespace sinter::kernels

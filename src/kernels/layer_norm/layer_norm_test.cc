#include "kernels/layer_norm/layer_norm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

// Values have standard deviation 1 and mean `offset`. Sums are chains of cols / 64 terms at least,
// each rounded by 2^-24, and a few roundings follow. A mean of `offset` rounds by 2^-24 of it,
// which moves every distance from it by as much.
double RowError(uint32_t cols, double offset) {
  return 0x1p-24 * (16 + cols / 64.0) * (1 + std::abs(offset));
}

struct Options {
  double offset = 0;
  bool widen = false, plain = false;
};

std::vector<Operand> MakeOperands(const LayerNormShape& shape, const Options& options) {
  const auto device = [&](DType dtype) { return options.widen ? DType::kF32 : dtype; };
  const size_t count = size_t{shape.rows} * shape.cols;
  auto input = RandomValues(shape.dtype, count, 1);
  for (double& x : input) x += options.offset;
  input = RoundTo(shape.dtype, std::move(input));
  const auto scale = RandomValues(shape.scale_dtype, shape.cols, 2);
  const auto bias =
      shape.has_bias ? RandomValues(shape.scale_dtype, shape.cols, 3) : std::vector<double>{};
  LayerNormResult want =
      LayerNormReference(shape.rows, shape.cols, shape.epsilon, input, scale, bias);
  const DType output = device(shape.output_dtype);
  const double error = RowError(shape.cols, options.offset);
  // A row of few elements may have a standard deviation far below 1, which its inverse undoes.
  double largest_inv_std = 1;
  for (const double inv_std : want.inv_std) largest_inv_std = std::max(largest_inv_std, inv_std);
  // A scale of 5 passes the distances' errors to the output.
  const double abs = (output == DType::kF16 ? 0x1p-25 : 0) + 5 * error * largest_inv_std;
  const auto optional = [](bool there, Operand operand) {
    return there ? std::move(operand) : Operand::Absent();
  };
  return {Operand::Input(device(shape.dtype), input),
          Operand::Input(device(shape.scale_dtype), scale),
          optional(shape.has_bias, Operand::Input(device(shape.scale_dtype), bias)),
          Operand::Output(output, std::move(want.output), abs, Epsilon(output) + error),
          optional(shape.has_mean, Operand::Output(DType::kF32, std::move(want.mean), error)),
          optional(shape.has_inv_std, Operand::Output(DType::kF32, std::move(want.inv_std), 0,
                                                      error * largest_inv_std))};
}

const bool kRegistered = RegisterKernelCases("layer_norm", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](std::string name, LayerNormShape shape, Options options = {}) {
    if ((shape.dtype == DType::kF16 || shape.scale_dtype == DType::kF16) && !caps.f16)
      options.widen = true;
    KernelCase c;
    c.name = fmt::format("{}x{}.{}.{}{}", shape.rows, shape.cols, DTypeName(shape.dtype),
                         DTypeName(shape.scale_dtype), name);
    c.operands = [=] { return MakeOperands(shape, options); };
    c.variants = options.plain ? std::vector<std::string>{""} : LayerNormVariants(caps);
    c.plan = [=](Caps device, std::string_view variant) {
      if (options.widen) device = WithoutF16(device);
      if (options.plain) device = WithoutSubgroups(device);
      return PlanLayerNorm(device, shape, variant);
    };
    c.bytes = double(shape.rows) * shape.cols * 2 * (DTypeBits(shape.dtype) / 8);
    c.flops = 7.0 * shape.rows * shape.cols;
    cases.push_back(std::move(c));
  };
  const auto shape_of = [](uint32_t rows, uint32_t cols, DType dtype) {
    return LayerNormShape{
        .rows = rows, .cols = cols, .dtype = dtype, .scale_dtype = dtype, .output_dtype = dtype};
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const auto& [rows, cols] : {std::pair{1u, 1u},
                                     {1u, 3u},
                                     {2u, 64u},
                                     {3u, 65u},
                                     {7u, 127u},
                                     {2u, 129u},
                                     {3u, 5u * 7 * 11 * 13},
                                     {16u, 768u},
                                     {5u, 1024u},
                                     {70000u, 4u}}) {
      LayerNormShape shape = shape_of(rows, cols, dtype);
      add("", shape);
      shape.has_bias = true;
      if (rows < 10) add(".bias", shape);
    }
    LayerNormShape shape = shape_of(3, 100, dtype);
    shape.has_mean = shape.has_inv_std = shape.has_bias = true;
    shape.epsilon = 0.5f;  // large enough to be seen
    add(".bias.mean.inv_std", shape);
    // The mean of squares less the square of the mean would lose all bits here.
    add(".far", shape_of(4, 512, dtype), {.offset = dtype == DType::kF16 ? 100.0 : 10000.0});
  }
  // Input, scale and output have different types.
  for (const uint32_t cols : {65u, 640u}) {
    LayerNormShape shape = shape_of(4, cols, DType::kF16);
    shape.dtype = DType::kF32;
    shape.has_bias = true;
    add(".in_f32", shape);
    shape.output_dtype = DType::kF32;
    add(".in_f32.out_f32", shape);
  }
  add(".widened", shape_of(4, 1000, DType::kF16), {.widen = true});
  add(".no_subgroups", shape_of(4, 1000, DType::kF32), {.plain = true});
  return cases;
});

TEST(LayerNorm, ReferenceMatchesHandComputedRow) {
  const LayerNormResult result = LayerNormReference(
      1, 2, 0.75, std::vector<double>{1, 2}, std::vector<double>{1, 10}, std::vector<double>{1, 2});
  // Mean 1.5, variance 0.25, inv_std 1.
  EXPECT_EQ(result.mean, (std::vector<double>{1.5}));
  EXPECT_EQ(result.inv_std, (std::vector<double>{1}));
  EXPECT_EQ(result.output, (std::vector<double>{0.5, 7}));
}

TEST(LayerNorm, PlanPicksByWidthAndNamesWhatItDependsOn) {
  Caps caps;
  EXPECT_EQ(PlanLayerNorm(caps, {.cols = 128}).variant, "layer_norm.f32.f32.f32.vec4.wg64");
  caps.subgroups = true;
  EXPECT_EQ(PlanLayerNorm(caps, {.cols = 2050}).variant, "layer_norm.f32.f32.f32.wg256.sg");
  EXPECT_EQ(PlanLayerNorm(caps, {.rows = 65536, .cols = 4}).workgroups[1], 2u);
}

TEST(LayerNorm, RefusesUnknownVariantsAndTypes) {
  EXPECT_THROW(PlanLayerNorm({}, {.cols = 4}, "wg32"), Error);
  EXPECT_THROW(PlanLayerNorm({}, {.cols = 4}, "wg64.sg"), Error);
  EXPECT_THROW(PlanLayerNorm({}, {.cols = 4, .dtype = DType::kI32}), Error);
}

}  // namespace
}  // namespace sinter::kernels

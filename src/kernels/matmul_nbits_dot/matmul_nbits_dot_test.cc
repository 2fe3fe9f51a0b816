// Cases of MatMulNBits by packed dot products: every tile, all bits, block sizes and kinds of zero
// points, rows and columns that are no multiples of a tile, gates and residuals.

#include "kernels/matmul_nbits_dot/matmul_nbits_dot.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/matmul_nbits/matmul_nbits_testing.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

using namespace nbits_testing;

// A chunk's sum is exact. Sums of K / chunk of them in f32 round no more than those of K products:
// K / sqrt(2) epsilons of one product, which is at most of unit size, times 4 for the largest of
// many outputs.
//
// An element of A rounds to 1 / 32639 of its chunk's largest one, which has a mean square of 2.3
// among 32 normal values; a uniform error deviates by 1 / sqrt(12) of that. It is multiplied with
// weights whose mean square is at most 0.41^2: the difference of two random codes (0.41 of their
// range) times a scale of at most 1 / range. The tolerance is 5 deviations of a sum of K.
//
// A gate multiplies two such sums, each of which is below 5 sqrt(K) / 2 and grows by no more than
// 1.2 through the activation.
double AbsTolerance(const MatMulNBitsShape& shape) {
  const double sum = 4.0 * Epsilon(DType::kF32) * (shape.k + 16.0) +
                     5 * 2.3 / (32639 * std::sqrt(12.0)) * 0.41 * std::sqrt(shape.k);
  return shape.glu == Glu::kNone ? sum : 2.4 * sum * (2.5 * std::sqrt(shape.k) + 4);
}

std::vector<std::string> Tilings(const Caps& caps, const MatMulNBitsShape& shape) {
  std::vector<std::string> variants;
  for (const DotTuning& tuning : DotTunings(caps, shape)) variants.push_back(DotVariant(tuning));
  return variants;
}

std::vector<KernelCase> MakeCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  if (!caps.packed_dot_product) return cases;
  const auto add = [&](const MatMulNBitsShape& shape, std::vector<std::string> variants = {"dot"},
                       bool without_f16 = false) -> KernelCase& {
    const DType device = DeviceDType(without_f16 ? WithoutF16(caps) : caps, shape.dtype);
    cases.push_back({.name = fmt::format("{}.{}{}", Name(shape), DTypeName(shape.dtype),
                                         without_f16 ? ".widened" : ""),
                     .operands =
                         [=] {
                           Inputs inputs = MakeInputs(shape);
                           std::vector<double> expected = Expected(shape, inputs);
                           return MakeOperands(shape, device, std::move(inputs),
                                               std::move(expected), AbsTolerance(shape));
                         },
                     .variants = std::move(variants),
                     .plan =
                         [=](const Caps& actual, std::string_view variant) {
                           return PlanMatMulNBits(without_f16 ? WithoutF16(actual) : actual, shape,
                                                  variant);
                         }});
    return cases.back();
  };
  // Every tile, with rows, columns and K that are no multiples of it, and with everything that may
  // follow the product.
  const MatMulNBitsShape odd = {.m = 133,
                                .n = 141,
                                .k = 203,
                                .dtype = DType::kF16,
                                .zero_points = ZeroPoints::kPacked,
                                .bias = true,
                                .residual = true};
  add(odd, Tilings(caps, odd));
  const MatMulNBitsShape gated = {
      .m = 70, .n = 140, .k = 96, .dtype = DType::kF16, .bias = true, .glu = Glu::kSilu};
  add(gated, {"dot", "dot.128x64x32.8x4"});
  // The default for various numbers of rows, from the fewest on, for activations of either type.
  for (const uint32_t m : {9u, 33u, 130u}) {
    for (const DType dtype : {DType::kF16, DType::kF32})
      add({.m = m, .n = 77, .k = 288, .dtype = dtype});
  }
  // Chunks of 16 and of 32 in blocks of one, two and more chunks; 13 blocks of 16, 7 of 32 and 1 of
  // 256: with odd counts a row of packed zero points ends inside a byte. K is no multiple of the
  // block nor of 4.
  for (const uint32_t bits : {4u, 8u}) {
    for (const uint32_t block_size : {16u, 32u, 256u}) {
      add({.m = 20,
           .n = 70,
           .k = 203,
           .bits = bits,
           .block_size = block_size,
           .dtype = DType::kF16,
           .zero_points = ZeroPoints::kPacked,
           .bias = true});
    }
    add({.m = 20, .n = 72, .k = 520, .bits = bits, .block_size = 64, .dtype = DType::kF16});
    add({.m = 20,
         .n = 72,
         .k = 200,
         .bits = bits,
         .dtype = DType::kF16,
         .zero_points = ZeroPoints::kFloat});
  }
  // The other kinds of gates.
  for (const Glu glu : {Glu::kGelu, Glu::kGeluTanh}) {
    add({.m = 20,
         .n = 37,
         .k = 64,
         .bits = 8,
         .dtype = DType::kF16,
         .zero_points = ZeroPoints::kPacked,
         .bias = true,
         .glu = glu,
         .residual = true});
  }
  // Interleaved rows.
  for (const uint32_t bits : {4u, 8u}) {
    for (const uint32_t block_size : {16u, 32u, 256u}) {
      add({.m = 20,
           .n = 72,
           .k = 203,
           .bits = bits,
           .block_size = block_size,
           .dtype = DType::kF16,
           .zero_points = ZeroPoints::kPacked,
           .bias = true,
           .interleave = kInterleavedRows});
    }
    add({.m = 20,
         .n = 40,
         .k = 96,
         .bits = bits,
         .dtype = DType::kF16,
         .glu = Glu::kSilu,
         .interleave = kInterleavedRows});
  }
  // The plan of an adapter without f16 for an f16 model.
  add({.m = 20, .n = 77, .k = 160, .dtype = DType::kF16, .residual = true}, {"dot"}, true);
  // A long sum.
  add({.m = 9, .n = 8, .k = 8192, .dtype = DType::kF16});
  // Binds only rows [n_begin, n_begin + n_count) of B.
  add({.m = 33,
       .n = 200,
       .k = 96,
       .dtype = DType::kF16,
       .zero_points = ZeroPoints::kPacked,
       .bias = true,
       .residual = true,
       .n_begin = 64,
       .n_count = 75});

  // QKV and down projections of Qwen3-1.7B, also with the other kernels, for prompts of several
  // lengths.
  for (const uint32_t m : {16u, 32u, 64u, 128u, 512u}) {
    for (const auto& [n, k] : {std::pair(4096u, 2048u), {2048u, 6144u}}) {
      const MatMulNBitsShape shape = {
          .m = m, .n = n, .k = k, .dtype = DType::kF16, .interleave = kInterleavedRows};
      std::vector<std::string> variants = Tilings(caps, shape);
      variants.insert(variants.end(), {"dot", "tile", "decode", ""});
      KernelCase& added = add(shape, std::move(variants));
      added.benchmark_only = true;
      added.operands = [=] { return MakeSampledOperands(shape, AbsTolerance(shape)); };
      added.bytes = n * (k / 2.0 + k / 32.0 * 2) + 2.0 * m * (k + n);
      added.flops = 2.0 * m * n * k;
    }
  }
  return cases;
}

const bool kRegistered = RegisterKernelCases("matmul_nbits_dot", MakeCases);

Caps DotCaps() {
  Caps caps;
  caps.f16 = caps.packed_dot_product = true;
  return caps;
}

TEST(MatMulNBitsDot, ChoosesByRowsAndColumns) {
  Caps caps = DotCaps();
  const auto variant = [&](uint32_t m, uint32_t n, DType dtype = DType::kF16) {
    return PlanMatMulNBits(caps, {.m = m, .n = n, .k = 2048, .dtype = dtype}).variant;
  };
  EXPECT_EQ(variant(512, 4096), "matmul_nbits.f16.b4.blk32.dot.128x64x32.8x4");
  EXPECT_EQ(variant(128, 4096), "matmul_nbits.f16.b4.blk32.dot.64x64x64.4x4");
  EXPECT_EQ(variant(33, 4096), "matmul_nbits.f16.b4.blk32.dot.32x64x64.4x4");
  EXPECT_EQ(variant(32, 4096), "matmul_nbits.f16.b4.blk32.dot.32x64x64.4x4");
  EXPECT_THAT(variant(16, 4096), ::testing::HasSubstr("decode"));
  // f32 activations are rounded only if a variant is forced.
  EXPECT_EQ(variant(512, 4096, DType::kF32), "matmul_nbits.f32.b4.blk32.tile64x64");
  caps.f16 = false;
  EXPECT_EQ(variant(512, 4096), "matmul_nbits.f32.b4.blk32.dot.128x64x32.8x4");
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 512;
  EXPECT_EQ(variant(512, 4096), "matmul_nbits.f32.b4.blk32.dot.128x128x32.8x4");
  caps.software = true;
  EXPECT_EQ(variant(512, 4096), "matmul_nbits.f32.b4.blk32.tile64x64");
}

TEST(MatMulNBitsDot, YieldsToMatrixUnits) {
  Caps caps = DotCaps();
  caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.subgroup_matrix = {{DType::kF16, DType::kF32, 16, 16, 16}};
  caps.limits.max_workgroup_storage_bytes = 48 << 10;
  const MatMulNBitsShape shape = {.m = 512, .n = 4096, .k = 2048, .dtype = DType::kF16};
  const auto is_dot = [](const std::string& variant) { return variant.starts_with("dot."); };
  EXPECT_THAT(PlanMatMulNBits(caps, shape).variant, ::testing::HasSubstr("matrix"));
  EXPECT_TRUE(std::ranges::none_of(MatMulNBitsVariants(caps, shape), is_dot));
  caps.subgroup_matrix.clear();
  EXPECT_TRUE(std::ranges::any_of(MatMulNBitsVariants(caps, shape), is_dot));
  EXPECT_THAT(PlanMatMulNBits(caps, shape, "dot").variant, ::testing::HasSubstr("dot."));
}

TEST(MatMulNBitsDot, FusesWhatFollowsManyRows) {
  MatMulNBitsShape shape = {.m = 64, .n = 64, .k = 64, .dtype = DType::kF16, .residual = true};
  EXPECT_TRUE(CanFuseMatMulNBits(DotCaps(), shape));
  EXPECT_TRUE(CanFuseMatMulNBits(DotCaps(), shape, "dot"));
  EXPECT_FALSE(CanFuseMatMulNBits({}, shape, "dot"));
  shape.norm.present = true;
  EXPECT_FALSE(CanFuseMatMulNBits(DotCaps(), shape, "dot"));
}

TEST(MatMulNBitsDot, TakesTheExpertOfATile) {
  const MatMulNBitsShape shape = {.m = 128, .n = 64, .k = 64, .dtype = DType::kF16, .experts = 4};
  EXPECT_EQ(PlanMatMulNBits(DotCaps(), shape).variant,
            "matmul_nbits.f16.b4.blk32.of4.dot.64x64x64.4x4");
  EXPECT_THROW(PlanMatMulNBits(DotCaps(), shape, "dot.32x64x64.4x4"), Error);
}

TEST(MatMulNBitsDot, RefusesWhatItDoesNotHave) {
  EXPECT_THROW(PlanMatMulNBits({}, {.m = 64, .dtype = DType::kF16}, "dot"), Error);
  EXPECT_THROW(PlanMatMulNBits(DotCaps(), {.m = 64, .bits = 2}, "dot"), Error);
  EXPECT_THROW(PlanMatMulNBits(DotCaps(), {.m = 64, .norm = {.present = true}}, "dot"), Error);
  EXPECT_THROW(PlanMatMulNBits(DotCaps(), {.m = 64}, "dot.1x1x1.1x1"), Error);
}

}  // namespace
}  // namespace sinter::kernels

// Cases of MatMulNBits: all bits, block sizes and kinds of zero points, tails of K, few and many
// rows.

#include "kernels/matmul_nbits/matmul_nbits.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "kernels/matmul_nbits/matmul_nbits_testing.h"
#include "kernels/testing/kernel_case.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

using namespace nbits_testing;

// The f32 sum of K products rounds at each step by at most an epsilon of the partial sum, which for
// random signs grows as sqrt(k): sqrt(sum of k) = K / sqrt(2) epsilons of one product (a is of unit
// size, and a weight of at most about 1 = 2^bits * scale), times 4 for the largest of many outputs.
// The result is then rounded once to the output's type, and the bias may double it.
//
// In integer arithmetic (f16 activations, few rows) an element of a rounds to 1 / 65,278 of its
// chunk's largest one, here at most 1: an error with a standard deviation of 0.3 * 2^-16, times a
// weight of at most 1, K times: 5 standard deviations are 2^-15 * sqrt(K).
double AbsTolerance(const MatMulNBitsShape& shape, DType device) {
  const double integers = device == DType::kF16 ? std::ldexp(std::sqrt(shape.k), -15) : 0.0;
  return 4.0 * Epsilon(DType::kF32) * (shape.k + 16.0) + integers;
}

std::vector<Operand> MakeOperands(const MatMulNBitsShape& shape, DType device) {
  Inputs inputs = MakeInputs(shape, Weights::kAny);
  std::vector<double> expected = Expected(shape, inputs);
  return nbits_testing::MakeOperands(shape, device, std::move(inputs), std::move(expected),
                                     AbsTolerance(shape, device));
}

std::vector<KernelCase> MakeCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const MatMulNBitsShape& shape, std::vector<std::string> variants,
                       bool without_f16 = false) -> KernelCase& {
    const Caps used = without_f16 ? WithoutF16(caps) : caps;
    const DType device = DeviceDType(used, shape.dtype);
    cases.push_back({.name = fmt::format("{}.{}{}", Name(shape), DTypeName(shape.dtype),
                                         without_f16 ? ".widened" : ""),
                     .operands = [=] { return MakeOperands(shape, device); },
                     .variants = std::move(variants),
                     .plan =
                         [=](const Caps& actual, std::string_view variant) {
                           return PlanMatMulNBits(without_f16 ? WithoutF16(actual) : actual, shape,
                                                  variant);
                         }});
    return cases.back();
  };
  // One form of the kernel for few rows, and the tiles.
  const std::vector<std::string> all = {"decode", "tile"};

  // Various numbers of rows of A. N and K are no multiples of a tile or vector; K is 9 chunks, more
  // than the lanes of a team.
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const uint32_t m : {1u, 2u, 3u, 8u, 9u})
      add({.m = m, .n = 77, .k = 288, .dtype = dtype}, all);
    for (const uint32_t m : {17u, 64u, 130u})
      add({.m = m, .n = 77, .k = 288, .dtype = dtype}, {"tile"});
  }
  // All block sizes with all bits. K is no multiple of the block nor, with a bias, of 4.
  for (const uint32_t bits : {2u, 4u, 8u}) {
    for (const uint32_t block_size : {16u, 32u, 64u, 128u, 256u}) {
      add({.m = 2, .n = 70, .k = 204, .bits = bits, .block_size = block_size, .dtype = DType::kF16},
          all);
      // 13 blocks of 16, 7 of 32 and 1 of 256: with odd counts a row of packed zero points ends
      // inside a byte.
      add({.m = 33,
           .n = 70,
           .k = 203,
           .bits = bits,
           .block_size = block_size,
           .dtype = DType::kF32,
           .zero_points = ZeroPoints::kPacked,
           .bias = true},
          {"tile"});
    }
  }
  // Every kind of zero point, with and without bias.
  for (const ZeroPoints kind : {ZeroPoints::kDefault, ZeroPoints::kPacked, ZeroPoints::kFloat}) {
    for (const uint32_t bits : {4u, 8u}) {
      for (const bool bias : {false, true}) {
        add({.m = 3,
             .n = 143,
             .k = 385,
             .bits = bits,
             .dtype = DType::kF16,
             .zero_points = kind,
             .bias = bias},
            all);
      }
    }
  }
  // The smallest size, and 5 * 7 * 11 * 13.
  add({.m = 1, .n = 1, .k = 1, .block_size = 16, .dtype = DType::kF32}, all);
  add({.m = 1, .n = 3, .k = 5005, .dtype = DType::kF32}, all);
  add({.m = 2, .n = 5005, .k = 40, .dtype = DType::kF16, .zero_points = ZeroPoints::kPacked}, all);
  add({.m = 1, .n = 17000, .k = 64, .dtype = DType::kF16}, all);
  // Binds only rows [n_begin, n_begin + n_count) of B.
  for (const uint32_t m : {1u, 33u}) {
    add({.m = m,
         .n = 200,
         .k = 96,
         .dtype = DType::kF16,
         .zero_points = ZeroPoints::kPacked,
         .bias = true,
         .n_begin = 64,
         .n_count = 75},
        all);
  }
  // Interleaved rows: bits, blocks and zero points with few and many rows, a part of the rows, odd
  // K.
  for (const uint32_t bits : {2u, 4u, 8u}) {
    for (const uint32_t block_size : {16u, 64u, 128u}) {
      for (const uint32_t m : {2u, 33u}) {
        add({.m = m,
             .n = 72,
             .k = 203,
             .bits = bits,
             .block_size = block_size,
             .dtype = DType::kF16,
             .zero_points = ZeroPoints::kPacked,
             .bias = true,
             .interleave = kInterleavedRows},
            m == 2 ? all : std::vector<std::string>{"tile"});
      }
    }
    add({.m = 3,
         .n = 200,
         .k = 96,
         .bits = bits,
         .dtype = DType::kF32,
         .zero_points = ZeroPoints::kFloat,
         .n_begin = 64,
         .n_count = 72,
         .interleave = kInterleavedRows},
        all);
  }
  // Plans of an adapter without f16 for an f16 model, and the default of one without subgroups.
  for (const uint32_t m : {1u, 20u}) {
    add({.m = m, .n = 77, .k = 160, .dtype = DType::kF16, .zero_points = ZeroPoints::kFloat}, all,
        true);
  }
  add({.m = 1, .n = 88, .k = 160, .dtype = DType::kF16, .interleave = kInterleavedRows}, all, true);

  // Attention, output and MLP projections of Qwen3-1.7B; int4 in blocks of 32.
  const std::pair<uint32_t, uint32_t> kModel[] = {
      {4096, 2048}, {2048, 2048}, {12288, 2048}, {2048, 6144}, {32768, 2048}};
  for (const auto& [n, k] : kModel) {
    KernelCase& model = add({.m = 1, .n = n, .k = k, .dtype = DType::kF16}, {""});
    model.bytes = n * (k / 2.0 + k / 32.0 * 2 + 2) + 2.0 * k;
    model.flops = 2.0 * n * k;
  }
  for (const uint32_t m : {8u, 16u, 256u}) {
    KernelCase& model =
        add({.m = m, .n = 2048, .k = 2048, .dtype = DType::kF16}, {m == 8 ? "" : "tile"});
    model.bytes = 2048 * (2048 / 2.0 + 2048 / 32.0 * 2 + 2.0 * m) + 2.0 * m * 2048;
    model.flops = 2.0 * m * 2048 * 2048;
  }
  return cases;
}

const bool kRegistered = RegisterKernelCases("matmul_nbits", MakeCases);

TEST(MatMulNBits, ChoosesByRowsAndCapabilities) {
  Caps caps;
  const auto variant = [&](uint32_t m) {
    return PlanMatMulNBits(caps, {.m = m, .n = 64, .k = 64, .dtype = DType::kF16}).variant;
  };
  EXPECT_EQ(variant(1), "matmul_nbits.f32.b4.blk32.1x64x64.decode.wg64.r1.b1.g1.s1.f32");
  EXPECT_EQ(variant(9), "matmul_nbits.f32.b4.blk32.9x64x64.decode.wg64.r1.b1.g1.s1.f32");
  EXPECT_EQ(variant(130), "matmul_nbits.f32.b4.blk32.tile64x64");
  EXPECT_EQ(PlanMatMulNBits(caps, {.m = 17, .n = 8192, .k = 64}).variant,
            "matmul_nbits.f32.b4.blk32.tile32x64");
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = 8;
  caps.subgroup_max_size = 32;
  EXPECT_EQ(variant(3), "matmul_nbits.f16.b4.blk32.3x64x64.decode.wg256.r4.b1.g1.s1.f32.sg8");
  caps.packed_dot_product = true;
  EXPECT_EQ(variant(3), "matmul_nbits.f16.b4.blk32.3x64x64.decode.wg256.r4.b1.g1.s1.sg8");
  EXPECT_EQ(PlanMatMulNBits(WithoutSubgroups(caps), {.dtype = DType::kF16}).variant,
            "matmul_nbits.f16.b4.blk32.1x1x1.decode.wg64.r1.b1.g1.s1.f32");
}

// An element that is not a finite number must not vanish in a product: an overflow upstream would
// become a wrong answer without a word. The other rows stay as they are.
TEST(MatMulNBits, KeepsWhatIsNotFinite) {
  gpu::Device& device = TestDevice();
  for (const uint32_t m : {1u, 6u, 64u}) {
    for (const ZeroPoints kind : {ZeroPoints::kDefault, ZeroPoints::kFloat}) {
      const MatMulNBitsShape shape = {
          .m = m, .n = 72, .k = 64, .block_size = 16, .dtype = DType::kF16, .zero_points = kind};
      const DType type = DeviceDType(device.caps(), shape.dtype);
      Inputs inputs = MakeInputs(shape);
      const std::vector<double> finite = Expected(shape, inputs);
      // One variant of each family.
      std::vector<std::string> variants = {"decode", "tile", ""};
      for (const std::string& variant : MatMulNBitsVariants(device.caps(), shape)) {
        const std::string family = variant.substr(0, variant.find('.'));
        if (std::ranges::find(variants, family) == variants.end()) variants.push_back(family);
      }
      for (const double value : {NAN, INFINITY, -INFINITY}) {
        const uint32_t row = m / 2;
        inputs.a = MakeInputs(shape).a;
        inputs.a[row * shape.k + 37] = value;
        for (const std::string& variant : variants) {
          const std::vector<Operand> operands =
              nbits_testing::MakeOperands(shape, type, inputs, finite, 0);
          const KernelPlan plan = PlanMatMulNBits(device.caps(), shape, variant);
          if (plan.scratch_words > 0) continue;
          const std::vector<double> y =
              DecodeElements(type, RunPlan(device, plan, operands)[5], finite.size());
          size_t wrong = 0;
          for (size_t i = 0; i < y.size(); ++i) {
            wrong += std::isfinite(y[i]) == (i / shape.n == row) ? 1 : 0;
          }
          EXPECT_EQ(wrong, 0u) << fmt::format("{} of {} in row {} of {}", value, plan.variant, row,
                                              m);
        }
      }
    }
  }
}

TEST(MatMulNBits, FoldsLargeGrids) {
  // Without subgroups 64 threads are two teams, with one row each.
  const KernelPlan plan =
      PlanMatMulNBits({}, {.m = 1, .n = 1'000'000, .k = 64}, "decode.wg64.r1.b1.g1.s1.f32");
  EXPECT_LE(plan.workgroups[0], 65535u);
  EXPECT_GE(plan.workgroups[0] * plan.workgroups[1], 500'000u);
  EXPECT_EQ(
      PlanMatMulNBits({}, {.m = 1, .n = 1000, .k = 64}, "decode.wg64.r1.b1.g1.s1.f32").workgroups,
      (std::array<uint32_t, 3>{500, 1, 1}));
}

TEST(MatMulNBits, SplitsRowsThatDoNotFitABinding) {
  Caps caps;
  caps.f16 = true;
  caps.limits.max_storage_binding_bytes = 128u << 20;
  const MatMulNBitsShape shape = {.n = 151936, .k = 2048, .dtype = DType::kF16};
  const auto ranges = SplitMatMulNBits(caps, shape);
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].count + ranges[1].count, 151936u);
  EXPECT_EQ(ranges[1].begin, ranges[0].count);
  EXPECT_LE(ranges[0].count * shape.b_row_bytes(), caps.limits.max_storage_binding_bytes);
}

TEST(MatMulNBits, SplitsRowsThatLieTogetherByTheirGroups) {
  Caps caps;
  caps.limits.min_storage_offset_alignment = 16;
  caps.limits.max_storage_binding_bytes = 100 * 1024;
  const MatMulNBitsShape shape = {.n = 200, .k = 2048, .interleave = kInterleavedRows};
  const auto ranges = SplitMatMulNBits(caps, shape);
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[0], (RowRange{0, 96}));
  EXPECT_EQ(ranges[1], (RowRange{96, 96}));
  EXPECT_EQ(ranges[2], (RowRange{192, 8}));
}

TEST(MatMulNBits, RefusesWhatItDoesNotHave) {
  EXPECT_THROW(PlanMatMulNBits({}, {.bits = 3}), Error);
  EXPECT_THROW(PlanMatMulNBits({}, {.block_size = 48}), Error);
  EXPECT_THROW(PlanMatMulNBits({}, {.block_size = 512}), Error);
  EXPECT_THROW(PlanMatMulNBits({}, {}, "fast"), Error);
  EXPECT_THROW(PlanMatMulNBits({}, {.residual = true}, "tile"), Error);
  EXPECT_THROW(PlanMatMulNBits({}, {.n = 12, .interleave = kInterleavedRows}), BugError);
  EXPECT_THROW(PlanMatMulNBits({}, {.n = 8, .interleave = 4}), BugError);
}

}  // namespace
}  // namespace sinter::kernels

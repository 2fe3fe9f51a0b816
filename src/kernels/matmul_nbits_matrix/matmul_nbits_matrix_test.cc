// Cases of MatMulNBits on the matrix units: every tile, all bits, block sizes and kinds of zero
// points, rows and columns that are no multiples of a tile, gates and residuals.

#include "kernels/matmul_nbits_matrix/matmul_nbits_matrix.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/matmul_nbits/matmul_nbits_testing.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

using namespace nbits_testing;

// As for the other variants, the f32 sum of K products rounds at each step by at most an epsilon of
// the partial sum, which for random signs grows as sqrt(k): K / sqrt(2) epsilons of one product,
// which is at most of unit size, times 4 for the largest of many outputs; and twice that, because
// matrix units may truncate instead of rounding. A gate multiplies two such sums, each of which is
// below 5 sqrt(K) / 2 and grows by no more than 1.2 through the activation.
double AbsTolerance(const MatMulNBitsShape& shape) {
  const double sum = 8.0 * Epsilon(DType::kF32) * (shape.k + 16.0);
  return shape.glu == Glu::kNone ? sum : 2.4 * sum * (2.5 * std::sqrt(shape.k) + 4);
}

std::vector<KernelCase> MakeCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  if (MatrixTunings(caps, {.dtype = DType::kF16}).empty()) return cases;
  // Returns the variants with `parts` workgroups per tile.
  const auto tilings = [&](const MatMulNBitsShape& shape, uint32_t parts = 1) {
    std::vector<std::string> variants;
    for (const MatrixTuning& tuning : MatrixTunings(caps, shape)) {
      if (tuning.parts == parts) variants.push_back(MatrixVariant(tuning));
    }
    return variants;
  };
  // Counters are zero before and after; the other words may be anything.
  const auto with_scratch = [&caps](const MatMulNBitsShape& shape, std::vector<Operand> operands) {
    operands.resize(MatMulNBitsRoles::kScratch.binding, Operand::Absent());
    std::vector<double> values(MatrixScratchWords(caps, shape), 7.0);
    std::fill_n(values.begin(), kCounterWords, 0.0);
    std::vector<double> expected = values;
    std::fill(expected.begin() + kCounterWords, expected.end(), std::nan(""));
    operands.back() = {.dtype = DType::kU32, .values = values, .expected = expected};
    return operands;
  };
  // A weight is rounded to f16 as (code - zero), which is exact except for float zero points, and
  // again after the multiplication with the scale: two roundings of 2^-11 at most, 2^-11 / sqrt(3)
  // each at random, of products a * w below 0.6 in the mean square. 5 deviations of a sum of K are
  // 2^-11 * sqrt(2 / 3) * 0.6 * 5.
  const auto add_rounded = [&](MatMulNBitsShape shape) {
    shape.dtype = DType::kF16;
    cases.push_back({.name = Name(shape) + ".rounded",
                     .operands =
                         [=] {
                           Inputs inputs = MakeInputs(shape, Weights::kAny);
                           std::vector<double> expected = Expected(shape, inputs);
                           std::vector<Operand> operands =
                               MakeOperands(shape, DType::kF16, std::move(inputs),
                                            std::move(expected), AbsTolerance(shape));
                           operands[5].abs_tolerance +=
                               2.5 * Epsilon(DType::kF16) * std::sqrt(shape.k);
                           return operands;
                         },
                     .variants = {"matrix"},
                     .plan =
                         [=](const Caps& actual, std::string_view variant) {
                           return PlanMatMulNBits(actual, shape, variant);
                         }});
  };
  const auto add = [&](MatMulNBitsShape shape, std::vector<std::string> variants) -> KernelCase& {
    shape.dtype = DType::kF16;
    cases.push_back({.name = Name(shape),
                     .operands =
                         [=] {
                           Inputs inputs = MakeInputs(shape);
                           std::vector<double> expected = Expected(shape, inputs);
                           return MakeOperands(shape, DType::kF16, std::move(inputs),
                                               std::move(expected), AbsTolerance(shape));
                         },
                     .variants = std::move(variants),
                     .plan =
                         [=](const Caps& actual, std::string_view variant) {
                           return PlanMatMulNBits(actual, shape, variant);
                         }});
    return cases.back();
  };
  // Every tile: a shape that it divides, and one with rows, columns and K that are no multiples of
  // it and with everything that may follow the product.
  const MatMulNBitsShape whole = {.m = 128, .n = 128, .k = 64, .dtype = DType::kF16};
  MatMulNBitsShape odd = {.m = 133, .n = 141, .k = 203, .dtype = DType::kF16};
  odd.zero_points = ZeroPoints::kPacked;
  odd.bias = odd.residual = true;
  MatMulNBitsShape gated = {.m = 70, .n = 140, .k = 96, .dtype = DType::kF16};
  gated.glu = Glu::kSilu;
  gated.bias = true;
  MatMulNBitsShape together = odd;
  together.n = 136;
  together.interleave = kInterleavedRows;
  // A software GPU takes seconds to compile a tiling, so only the odd shapes try them all.
  for (const MatMulNBitsShape& shape : {together, odd}) add(shape, tilings(shape));
  for (const MatMulNBitsShape& shape : {whole, gated}) {
    std::vector<std::string> some = tilings(shape);
    some.resize(std::min<size_t>(some.size(), 2));
    add(shape, some);
  }

  // Two workgroups per tile: whole tiles, and sizes that are no multiples of a tile; an odd number
  // of steps.
  MatMulNBitsShape halves = odd;
  halves.k = 8 * 64 + 203;
  for (MatMulNBitsShape shape :
       {MatMulNBitsShape{.m = 128, .n = 256, .k = 1024, .dtype = DType::kF16}, halves}) {
    if (tilings(shape, 2).empty()) continue;
    KernelCase& added = add(shape, tilings(shape, 2));
    added.name += ".parts";
    added.operands = [=, plain = added.operands] { return with_scratch(shape, plain()); };
  }

  // Early loads with two buffers, which no tile has that is offered to a software GPU.
  if (caps.software) {
    KernelCase& early = add(together, {"early"});
    early.plan = [=](const Caps& with, std::string_view) {
      return PlanMatMulNBitsMatrix(with, together, {64, 64, 32, 2, 2, 1, 2});
    };
  }
  // Parts with more quads per thread than the tiles that fit a software GPU's workgroup memory
  // have.
  if (caps.software) {
    MatMulNBitsShape shape = halves;
    shape.n = 140;
    KernelCase& wide = add(shape, {"wide"});
    const MatrixTuning tuning = {64, 96, 32, 4, 3, 1, 1, 2};
    wide.name += ".parts";
    wide.operands = [=, plain = wide.operands] { return with_scratch(shape, plain()); };
    wide.plan = [=](const Caps& with, std::string_view) {
      return PlanMatMulNBitsMatrix(with, shape, tuning);
    };
  }
  // The same with interleaved rows: parts, gates, bits and blocks of either kind of step, a part of
  // B.
  MatMulNBitsShape together_halves = halves;
  together_halves.n = 136;
  together_halves.interleave = kInterleavedRows;
  if (const auto variants = tilings(together_halves, 2); !variants.empty()) {
    KernelCase& added = add(together_halves, variants);
    added.name += ".parts";
    added.operands = [=, plain = added.operands] { return with_scratch(together_halves, plain()); };
  }
  add({.m = 40,
       .n = 72,
       .k = 96,
       .zero_points = ZeroPoints::kPacked,
       .bias = true,
       .glu = Glu::kSilu,
       .residual = true,
       .interleave = kInterleavedRows},
      {"matrix"});
  for (const uint32_t bits : {2u, 4u, 8u}) {
    for (const uint32_t block_size : {16u, 32u, 128u}) {
      for (const uint32_t k : {203u, 512u}) {
        MatMulNBitsShape shape = {.m = 140,
                                  .n = 72,
                                  .k = k,
                                  .bits = bits,
                                  .block_size = block_size,
                                  .interleave = kInterleavedRows};
        shape.zero_points = k == 512 ? ZeroPoints::kFloat : ZeroPoints::kPacked;
        // Steps of 32 and of 64.
        std::vector<std::string> some = {"matrix"};
        if (k == 512) some = tilings(shape);
        some.resize(std::min<size_t>(some.size(), 2));
        add(shape, some);
      }
    }
  }
  add({.m = 33,
       .n = 200,
       .k = 96,
       .bias = true,
       .n_begin = 64,
       .n_count = 72,
       .interleave = kInterleavedRows},
      {"matrix"});

  // The default for various numbers of rows, from the fewest on.
  for (const uint32_t m : {1u, 9u, 17u, 33u, 65u, 130u}) {
    add({.m = m, .n = 77, .k = 288}, {"matrix"});
  }
  // All bits, block sizes and kinds of zero points; K is no multiple of the block nor of 8.
  for (const uint32_t bits : {2u, 4u, 8u}) {
    for (const uint32_t block_size : {16u, 32u, 64u, 128u, 256u}) {
      add({.m = 40, .n = 72, .k = 520, .bits = bits, .block_size = block_size}, {"matrix"});
      // 13 blocks of 16, 7 of 32 and 1 of 256: with odd counts a row of packed zero points ends
      // inside a byte.
      add({.m = 20,
           .n = 70,
           .k = 203,
           .bits = bits,
           .block_size = block_size,
           .zero_points = ZeroPoints::kPacked,
           .bias = true},
          {"matrix"});
    }
    add({.m = 20, .n = 72, .k = 200, .bits = bits, .zero_points = ZeroPoints::kFloat}, {"matrix"});
  }
  // Both halves of gates of every kind; columns that are no multiples of the tile or its quads.
  for (const Glu glu : {Glu::kSilu, Glu::kGelu, Glu::kGeluTanh}) {
    add({.m = 40, .n = 66, .k = 64, .glu = glu}, {"matrix"});
    add({.m = 40,
         .n = 37,
         .k = 64,
         .zero_points = ZeroPoints::kPacked,
         .bias = true,
         .glu = glu,
         .residual = true},
        {"matrix"});
  }
  add({.m = 40, .n = 64, .k = 64, .residual = true}, {"matrix"});
  for (const ZeroPoints kind : {ZeroPoints::kDefault, ZeroPoints::kPacked, ZeroPoints::kFloat}) {
    for (const uint32_t bits : {4u, 8u})
      add_rounded({.m = 20, .n = 40, .k = 512, .bits = bits, .zero_points = kind});
  }
  // A long sum.
  add({.m = 9, .n = 8, .k = 8192}, {"matrix"});
  // Binds only rows [n_begin, n_begin + n_count) of B; the second count is no multiple of a quad.
  for (const uint32_t count : {76u, 75u}) {
    add({.m = 33,
         .n = 200,
         .k = 96,
         .zero_points = ZeroPoints::kPacked,
         .bias = true,
         .residual = true,
         .n_begin = 64,
         .n_count = count},
        {"matrix"});
  }

  // Prompts of 512 tokens: QKV, output, gate and up, and down projections of Qwen3-1.7B, Phi-3-mini
  // and Llama-3.2-1B; and shorter ones.
  const auto model = [&](MatMulNBitsShape shape) {
    shape.interleave = kInterleavedRows;
    std::vector<std::string> variants = tilings(shape);
    variants.insert(variants.begin(), "");
    if (shape.glu == Glu::kNone && !shape.residual) variants.emplace_back("tile");
    KernelCase& added = add(shape, std::move(variants));
    added.benchmark_only = true;
    added.operands = [=] { return MakeSampledOperands(shape, AbsTolerance(shape)); };
    const double n = shape.b_rows(), k = shape.k, m = shape.m;
    added.bytes = n * (k * shape.bits / 8.0 + k / shape.block_size * 2) + 2.0 * m * (k + shape.n);
    added.flops = 2.0 * m * n * k;
    if (tilings(shape, 2).empty()) return;
    KernelCase parts = added;
    parts.name += ".parts";
    parts.variants = tilings(shape, 2);
    parts.operands = [=] {
      return with_scratch(shape, MakeSampledOperands(shape, AbsTolerance(shape)));
    };
    cases.push_back(std::move(parts));
  };
  const std::pair<uint32_t, uint32_t> kPlain[] = {{4096, 2048}, {9216, 3072}, {3072, 2048}};
  for (const auto& [n, k] : kPlain) model({.m = 512, .n = n, .k = k, .dtype = DType::kF16});
  const std::pair<uint32_t, uint32_t> kResidual[] = {
      {2048, 2048}, {2048, 6144}, {3072, 3072}, {3072, 8192}, {2048, 8192}};
  for (const auto& [n, k] : kResidual) {
    model({.m = 512, .n = n, .k = k, .dtype = DType::kF16, .residual = true});
  }
  const std::pair<uint32_t, uint32_t> kGated[] = {{6144, 2048}, {8192, 3072}, {8192, 2048}};
  for (const auto& [n, k] : kGated) {
    model({.m = 512, .n = n, .k = k, .dtype = DType::kF16, .glu = Glu::kSilu});
  }
  for (const uint32_t m : {16u, 32u, 64u, 128u, 2048u}) {
    model({.m = m, .n = 4096, .k = 2048, .dtype = DType::kF16});
  }
  return cases;
}

const bool kRegistered = RegisterKernelCases("matmul_nbits_matrix", MakeCases);

Caps MatrixCaps() {
  Caps caps;
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.subgroup_matrix = {{DType::kF16, DType::kF32, 16, 16, 16}};
  caps.limits.max_workgroup_storage_bytes = 48 << 10;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  return caps;
}

TEST(MatMulNBitsMatrix, ChoosesByRowsAndColumns) {
  Caps caps = MatrixCaps();
  const auto variant = [&](uint32_t m, uint32_t n, DType dtype) {
    return PlanMatMulNBits(caps, {.m = m, .n = n, .k = 2048, .dtype = dtype}).variant;
  };
  const std::string prefix = "matmul_nbits.f16.b4.blk32.";
  const std::string whole = prefix + "k2048.";
  EXPECT_EQ(variant(512, 4096, DType::kF16),
            whole + "matrix.128x128x64.4x4.k2.single.sg32.16x16x16");
  EXPECT_EQ(variant(128, 12288, DType::kF16),
            whole + "matrix.128x96x64.4x3.k2.single.sg32.16x16x16");
  EXPECT_EQ(variant(512, 4096, DType::kF32), "matmul_nbits.f32.b4.blk32.tile64x64");
  caps.software = true;
  EXPECT_EQ(variant(512, 4096, DType::kF16), prefix + "tile64x64");
}

// The fastest tilings of these products, as measured on an H200.
TEST(MatMulNBitsMatrix, GuessesWhatAnH200MeasuredAsQuickest) {
  struct Product {
    uint32_t n, k;
    Glu glu;
    std::string_view quickest;
    uint32_t m = 512;
  };
  for (const Product& product : {Product{4096, 2048, Glu::kNone, "128x128x64.4x4.k2.single"},
                                 {2048, 2048, Glu::kNone, "128x128x64.4x4.k2.single.p2"},
                                 {2048, 6144, Glu::kNone, "128x128x64.4x4.k2.single.p2"},
                                 {6144, 2048, Glu::kSilu, "128x192x64.4x3.single"},
                                 {9216, 3072, Glu::kNone, "128x144x32.4x3.single.late"},
                                 {3072, 3072, Glu::kNone, "128x96x64.4x3.k2.single"},
                                 {3072, 8192, Glu::kNone, "128x192x64.4x3.single.p2"},
                                 {8192, 3072, Glu::kSilu, "128x128x32.4x4.single"},
                                 {3072, 2048, Glu::kNone, "128x96x64.4x3.k2.single"},
                                 {2048, 8192, Glu::kNone, "128x128x64.4x4.k2.single.p2"},
                                 {8192, 2048, Glu::kSilu, "128x128x32.4x4.single"},
                                 {6144, 2048, Glu::kSilu, "128x128x32.4x4.single", 1024},
                                 {9216, 3072, Glu::kNone, "128x192x64.4x3.single", 1024},
                                 {2048, 6144, Glu::kNone, "128x128x64.4x4.k2.single", 1024},
                                 {6144, 2048, Glu::kSilu, "128x128x32.4x4.single", 2048},
                                 {3072, 8192, Glu::kNone, "128x192x64.4x3.single", 2048},
                                 {2048, 8192, Glu::kNone, "128x128x32.4x4.single", 2048}}) {
    MatMulNBitsShape shape = {
        .m = product.m, .n = product.n, .k = product.k, .dtype = DType::kF16, .glu = product.glu};
    const std::vector<MatrixTuning> tunings = MatrixTunings(MatrixCaps(), shape);
    ASSERT_FALSE(tunings.empty());
    EXPECT_EQ(MatrixVariant(tunings[0]), fmt::format("matrix.{}", product.quickest))
        << product.m << " x " << product.n << " x " << product.k;
  }
}

TEST(MatMulNBitsMatrix, OffersNoLowTilesForManyRows) {
  const auto lowest = [](uint32_t m) {
    const std::vector<MatrixTuning> tunings =
        MatrixTunings(MatrixCaps(), {.m = m, .n = 4096, .k = 2048, .dtype = DType::kF16});
    return std::ranges::min(tunings, {}, &MatrixTuning::m).m;
  };
  EXPECT_EQ(lowest(255), 16u);
  EXPECT_EQ(lowest(256), 64u);
}

TEST(MatMulNBitsMatrix, OffersWidePartsForLongSumsOnly) {
  const auto offers = [](uint32_t k) {
    const std::vector<MatrixTuning> tunings =
        MatrixTunings(MatrixCaps(), {.m = 512, .n = 3072, .k = k, .dtype = DType::kF16});
    return std::ranges::any_of(
        tunings, [](const MatrixTuning& tuning) { return tuning.n == 192 && tuning.parts == 2; });
  };
  EXPECT_FALSE(offers(3072));
  EXPECT_TRUE(offers(4096));
}

TEST(MatMulNBitsMatrix, FusesWhatFollowsManyRows) {
  MatMulNBitsShape shape = {.m = 64, .n = 64, .k = 64, .dtype = DType::kF16, .residual = true};
  EXPECT_TRUE(CanFuseMatMulNBits(MatrixCaps(), shape));
  EXPECT_TRUE(CanFuseMatMulNBits(MatrixCaps(), shape, "matrix"));
  EXPECT_FALSE(CanFuseMatMulNBits(MatrixCaps(), shape, "tile"));
  EXPECT_FALSE(CanFuseMatMulNBits({}, shape));
  shape.norm.present = true;
  EXPECT_FALSE(CanFuseMatMulNBits(MatrixCaps(), shape));
  EXPECT_FALSE(CanFuseMatMulNBits(MatrixCaps(), shape, "matrix"));
}

}  // namespace
}  // namespace sinter::kernels

// Cases of MatMulNBits on the matrix units: every tile, bits, block size and kind of zero point,
// rows and columns off every tile, gates and residuals.

#include "kernels/matmul_nbits/matmul_nbits_matrix.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

struct Inputs {
  std::vector<double> a, scales, zero_points_float, bias, residual;
  std::vector<std::byte> b, zero_points_packed;
};

// Which scales and float zero points a case has.
enum class Weights {
  kExact,  // powers of two from 1 / 2^bits down, and quarters: weights are exact in f16, and the
           // kernel owes nothing but the rounding of f32 sums
  kAny,
};

Inputs MakeInputs(const MatMulNBitsShape& shape, Weights weights = Weights::kExact) {
  const size_t rows = shape.b_rows(), blocks = rows * shape.blocks();
  Inputs inputs;
  inputs.a = RandomValues(DType::kF16, size_t{shape.m} * shape.k, 1);
  inputs.b = RandomBytes(rows * shape.b_row_bytes(), 2);
  inputs.scales.resize(blocks);
  const std::vector<std::byte> exponents = RandomBytes(blocks, 3);
  for (size_t i = 0; i < blocks; ++i) {
    inputs.scales[i] =
        std::ldexp(1.0, -static_cast<int>(shape.bits) - static_cast<int>(exponents[i]) % 3);
  }
  if (weights == Weights::kAny)
    inputs.scales = RandomValues(DType::kF16, blocks, 3, 1.0 / (1u << shape.bits));
  if (shape.zero_points == ZeroPoints::kPacked) {
    inputs.zero_points_packed = RandomBytes(rows * shape.packed_zero_points_row_bytes(), 4);
  } else if (shape.zero_points == ZeroPoints::kFloat) {
    inputs.zero_points_float = RandomValues(DType::kF16, blocks, 4, 1u << (shape.bits - 2));
    for (double& zero : inputs.zero_points_float) {
      if (weights == Weights::kExact) zero = std::round(zero * 4) / 4;
    }
  }
  if (shape.bias) inputs.bias = RandomValues(DType::kF16, rows, 5);
  if (shape.residual) inputs.residual = RandomValues(DType::kF16, size_t{shape.m} * shape.n, 6);
  return inputs;
}

double Activation(Glu glu, double x) {
  switch (glu) {
    case Glu::kSilu:
      return x / (1 + std::exp(-x));
    case Glu::kGelu:
      return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    default:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
  }
}

// The product by the reference of its parts, then gate and residual.
std::vector<double> Expected(const MatMulNBitsShape& shape, const Inputs& inputs) {
  MatMulNBitsShape product = shape;
  product.n = shape.b_rows();
  product.glu = Glu::kNone;
  product.residual = false;
  std::vector<double> y =
      MatMulNBitsReference(product, inputs.a, inputs.b, inputs.scales, inputs.zero_points_packed,
                           inputs.zero_points_float, inputs.bias);
  if (shape.glu != Glu::kNone) {
    std::vector<double> gated(size_t{shape.m} * shape.n);
    for (size_t i = 0; i < gated.size(); ++i) {
      const size_t at = i / shape.n * product.n + i % shape.n;
      gated[i] = Activation(shape.glu, y[at]) * y[at + shape.n];
    }
    y = std::move(gated);
  }
  for (size_t i = 0; i < inputs.residual.size(); ++i) y[i] += inputs.residual[i];
  return y;
}

// As for the other variants: the f32 sum of K products rounds at each step by at most an epsilon of
// the partial sum, which for random signs grows as sqrt(k): K / sqrt(2) epsilons of one product,
// which is at most of unit size, taken 4 times for the largest of many outputs; twice that, since
// matrix units may truncate where others round. A gate multiplies two such sums, each of which is
// below 5 sqrt(K) / 2 and grows by no more than 1.2 through the activation.
double AbsTolerance(const MatMulNBitsShape& shape) {
  const double sum = 8.0 * Epsilon(DType::kF32) * (shape.k + 16.0);
  return shape.glu == Glu::kNone ? sum : 2.4 * sum * (2.5 * std::sqrt(shape.k) + 4);
}

std::string Name(const MatMulNBitsShape& shape) {
  constexpr std::string_view kZeroPoints[] = {"", ".zp", ".zpf"};
  constexpr std::string_view kGlu[] = {"", ".silu", ".gelu", ".gelu_tanh"};
  return fmt::format(
      "m{}.n{}.k{}.b{}.blk{}{}{}{}{}{}", shape.m, shape.n, shape.k, shape.bits, shape.block_size,
      kZeroPoints[static_cast<int>(shape.zero_points)], shape.bias ? ".bias" : "",
      kGlu[static_cast<int>(shape.glu)], shape.residual ? ".residual" : "",
      shape.n_count == 0 ? "" : fmt::format(".from{}.count{}", shape.n_begin, shape.n_count));
}

template <typename T>
std::vector<T> Rows(const std::vector<T>& values, size_t rows, size_t begin, size_t count) {
  const size_t row = values.size() / rows;
  return {values.begin() + begin * row, values.begin() + (begin + count) * row};
}

// Columns outside of [n_begin, n_begin + n_count) of Y must stay as they were.
constexpr double kUntouched = 7.0;

std::vector<Operand> MakeOperands(const MatMulNBitsShape& shape, Inputs inputs,
                                  std::vector<double> expected) {
  const size_t rows = shape.b_rows();
  const size_t begin = shape.n_begin, count = shape.n_count == 0 ? rows : shape.n_count;
  Operand y = Operand::Output(DType::kF16, std::move(expected), AbsTolerance(shape),
                              2 * Epsilon(DType::kF16));
  if (shape.n_count != 0) {
    y.values.assign(y.expected.size(), kUntouched);
    for (size_t i = 0; i < y.expected.size(); ++i) {
      const size_t n = i % shape.n;
      if (n < begin || n >= begin + count) y.expected[i] = kUntouched;
    }
  }
  Operand zero_points = Operand::Absent();
  if (shape.zero_points == ZeroPoints::kPacked) {
    zero_points = Operand::Packed(Rows(inputs.zero_points_packed, rows, begin, count));
  } else if (shape.zero_points == ZeroPoints::kFloat) {
    zero_points = Operand::Input(DType::kF16, Rows(inputs.zero_points_float, rows, begin, count));
  }
  return {
      Operand::Input(DType::kF16, std::move(inputs.a)),
      Operand::Packed(Rows(inputs.b, rows, begin, count)),
      Operand::Input(DType::kF16, Rows(inputs.scales, rows, begin, count)),
      std::move(zero_points),
      shape.bias ? Operand::Input(DType::kF16, Rows(inputs.bias, rows, begin, count))
                 : Operand::Absent(),
      std::move(y),
      shape.residual ? Operand::Input(DType::kF16, std::move(inputs.residual)) : Operand::Absent()};
}

// For large shapes: the first, a middle and the last row of Y are computed and compared. The last
// shape's operands are kept, since a benchmark asks for the same ones many times.
std::vector<Operand> MakeSampledOperands(const MatMulNBitsShape& shape) {
  static std::pair<std::string, std::vector<Operand>> kept;
  std::string name = Name(shape);
  if (kept.first == name) return kept.second;
  const size_t rows[] = {0, shape.m / 2, shape.m - size_t{1}};
  Inputs inputs = MakeInputs(shape);
  Inputs sampled = inputs;
  sampled.a.clear();
  for (const size_t row : rows) {
    const double* a = inputs.a.data() + row * shape.k;
    sampled.a.insert(sampled.a.end(), a, a + shape.k);
  }
  MatMulNBitsShape part = shape;
  part.m = std::size(rows);
  const std::vector<double> y = Expected(part, sampled);
  std::vector<double> expected(size_t{shape.m} * shape.n, std::nan(""));
  for (size_t i = 0; i < std::size(rows); ++i) {
    std::copy_n(y.data() + i * shape.n, shape.n, expected.data() + rows[i] * shape.n);
  }
  kept = {std::move(name), MakeOperands(shape, std::move(inputs), std::move(expected))};
  return kept.second;
}

std::vector<KernelCase> MakeCases(const gpu::Caps& caps) {
  std::vector<KernelCase> cases;
  if (MatrixTunings(caps, {.dtype = DType::kF16}).empty()) return cases;
  const auto tilings = [&](const MatMulNBitsShape& shape) {
    std::vector<std::string> variants;
    for (const MatrixTuning& tuning : MatrixTunings(caps, shape))
      variants.push_back(MatrixVariant(tuning));
    return variants;
  };
  // A weight is rounded to f16 as (code - zero), which is exact but for float zero points, and as
  // that times the scale: two roundings of 2^-11 at most, 2^-11 / sqrt(3) each at random, of
  // products a * w below 0.6 in the mean square. 5 deviations of a sum of K: 2^-11 * sqrt(2 / 3) *
  // 0.6 * 5.
  const auto add_rounded = [&](MatMulNBitsShape shape) {
    shape.dtype = DType::kF16;
    cases.push_back({.name = Name(shape) + ".rounded",
                     .operands =
                         [=] {
                           Inputs inputs = MakeInputs(shape, Weights::kAny);
                           std::vector<double> expected = Expected(shape, inputs);
                           std::vector<Operand> operands =
                               MakeOperands(shape, std::move(inputs), std::move(expected));
                           operands[5].abs_tolerance +=
                               2.5 * Epsilon(DType::kF16) * std::sqrt(shape.k);
                           return operands;
                         },
                     .variants = {"matrix"},
                     .plan =
                         [=](const gpu::Caps& actual, std::string_view variant) {
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
                           return MakeOperands(shape, std::move(inputs), std::move(expected));
                         },
                     .variants = std::move(variants),
                     .plan =
                         [=](const gpu::Caps& actual, std::string_view variant) {
                           return PlanMatMulNBits(actual, shape, variant);
                         }});
    return cases.back();
  };
  // Every tile: one that fits exactly, and rows, columns and K off all of them, with all that may
  // stand behind the product.
  const MatMulNBitsShape whole = {.m = 128, .n = 128, .k = 64, .dtype = DType::kF16};
  MatMulNBitsShape odd = {.m = 133, .n = 141, .k = 203, .dtype = DType::kF16};
  odd.zero_points = ZeroPoints::kPacked;
  odd.bias = odd.residual = true;
  MatMulNBitsShape gated = {.m = 70, .n = 140, .k = 96, .dtype = DType::kF16};
  gated.glu = Glu::kSilu;
  gated.bias = true;
  // Compiling a tiling takes a software GPU seconds: the odd shape tries them all.
  add(odd, tilings(odd));
  for (const MatMulNBitsShape& shape : {whole, gated}) {
    std::vector<std::string> some = tilings(shape);
    some.resize(std::min<size_t>(some.size(), 2));
    add(shape, some);
  }

  // The choice by rows, from the fewest on.
  for (const uint32_t m : {1u, 9u, 17u, 33u, 65u, 130u}) {
    add({.m = m, .n = 77, .k = 288}, {"matrix"});
  }
  // All bits, block sizes and kinds of zero points; K is no multiple of the block nor of 8.
  for (const uint32_t bits : {2u, 4u, 8u}) {
    for (const uint32_t block_size : {16u, 32u, 64u, 128u, 256u}) {
      add({.m = 40, .n = 72, .k = 520, .bits = bits, .block_size = block_size}, {"matrix"});
      // 13 blocks of 16, 7 of 32, 1 of 256: odd counts end a row of packed zero points in a byte.
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
  // Both halves of gates, of every kind; columns off the tile and its quads.
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
  // Only the rows [n_begin, n_begin + n_count) of B are bound; the second has no whole quads.
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

  // Prompts of 512 tokens: the QKV, output, gate and up, and down projections of Qwen3-1.7B,
  // Phi-3-mini and Llama-3.2-1B; and shorter ones.
  const auto model = [&](const MatMulNBitsShape& shape) {
    std::vector<std::string> variants = tilings(shape);
    variants.insert(variants.begin(), "");
    if (shape.glu == Glu::kNone && !shape.residual) variants.emplace_back("tile");
    KernelCase& added = add(shape, std::move(variants));
    added.benchmark_only = true;
    added.operands = [=] { return MakeSampledOperands(shape); };
    const double n = shape.b_rows(), k = shape.k, m = shape.m;
    added.bytes = n * (k * shape.bits / 8.0 + k / shape.block_size * 2) + 2.0 * m * (k + shape.n);
    added.flops = 2.0 * m * n * k;
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

gpu::Caps MatrixCaps() {
  gpu::Caps caps;
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.subgroup_matrix = {{DType::kF16, DType::kF32, 16, 16, 16}};
  caps.limits.max_workgroup_storage_bytes = 48 << 10;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  return caps;
}

TEST(MatMulNBitsMatrix, ChoosesByRowsAndColumns) {
  gpu::Caps caps = MatrixCaps();
  const auto variant = [&](uint32_t m, uint32_t n, DType dtype) {
    return PlanMatMulNBits(caps, {.m = m, .n = n, .k = 2048, .dtype = dtype}).variant;
  };
  const std::string prefix = "matmul_nbits.f16.b4.blk32.";
  EXPECT_EQ(variant(512, 4096, DType::kF16), prefix + "matrix.128x128x32.4x4.sg32.16x16x16");
  EXPECT_EQ(variant(512, 2048, DType::kF16),
            prefix + "matrix.64x128x64.4x4.k2.single.sg32.16x16x16");
  EXPECT_EQ(variant(16, 2048, DType::kF16),
            prefix + "matrix.16x16x512.1x1.k8.single.sg32.16x16x16");
  EXPECT_EQ(variant(512, 4096, DType::kF32), "matmul_nbits.f32.b4.blk32.tile64x64");
  caps.software = true;
  EXPECT_EQ(variant(512, 4096, DType::kF16), prefix + "tile64x64");
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

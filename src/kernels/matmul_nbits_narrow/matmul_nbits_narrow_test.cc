// Cases of MatMulNBits for 2 to 64 rows on the matrix units: every tile, rows, columns and K that
// are no multiples of it, norms, gates, residuals and parts of K.

#include "kernels/matmul_nbits_narrow/matmul_nbits_narrow.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/matmul_nbits/matmul_nbits_testing.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/testing/kernel_case.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

using namespace nbits_testing;

// That of matmul_nbits_matrix_test.cc. A norm rounds h to f16: for random signs that adds 2.5
// sqrt(K) epsilons (the reasoning is that of the rounded weights there).
double NarrowTolerance(const MatMulNBitsShape& shape) {
  double sum = 8.0 * Epsilon(DType::kF32) * (shape.k + 16.0);
  if (shape.norm.present) sum += 2.5 * Epsilon(DType::kF16) * std::sqrt(shape.k);
  return shape.glu == Glu::kNone ? sum : 2.4 * sum * (2.5 * std::sqrt(shape.k) + 4);
}

// Returns the operands. `parts` says that several workgroups share a tile: the scratch's counters
// are zero before and after, and its other words may be anything. Of large shapes only some rows
// are compared (`sampled`), and none of a norm.
std::vector<Operand> NarrowOperands(const Caps& caps, const MatMulNBitsShape& shape, bool parts,
                                    bool sampled) {
  std::vector<Operand> operands;
  std::vector<double> norm_scale;
  if (shape.norm.present) norm_scale = RandomValues(shape.norm.scale_dtype, shape.k, 7);
  if (sampled) {
    operands = MakeSampledOperands(shape, NarrowTolerance(shape));
    if (shape.norm.present) std::ranges::fill(operands[5].expected, std::nan(""));
  } else {
    Inputs inputs = MakeInputs(shape);
    Inputs normalized = inputs;
    if (shape.norm.present) {
      normalized.a =
          RmsNormReference(shape.m, shape.k, shape.norm.epsilon, inputs.a, norm_scale, {}, {})
              .output;
    }
    std::vector<double> expected = Expected(shape, normalized);
    operands = MakeOperands(shape, DType::kF16, std::move(inputs), std::move(expected),
                            NarrowTolerance(shape));
  }
  operands.push_back(shape.norm.present ? Operand::Input(shape.norm.scale_dtype, norm_scale)
                                        : Operand::Absent());
  if (!parts) return operands;
  operands.resize(MatMulNBitsRoles::kScratch.binding, Operand::Absent());
  std::vector<double> values(NarrowScratchWords(caps, shape), 7.0);
  std::fill_n(values.begin(), kCounterWords, 0.0);
  std::vector<double> after = values;
  std::fill(after.begin() + kCounterWords, after.end(), std::nan(""));
  operands.back() = {.dtype = DType::kU32, .values = values, .expected = after};
  return operands;
}

std::string NarrowName(const MatMulNBitsShape& shape) {
  return Name(shape) + (!shape.norm.present                     ? ""
                        : shape.norm.scale_dtype == DType::kF16 ? ".norm"
                                                                : ".norm_f32");
}

// Returns the variants with one workgroup per tile, or those with several.
std::vector<std::string> NarrowNames(const Caps& caps, const MatMulNBitsShape& shape, bool parts) {
  std::vector<std::string> names;
  for (const NarrowTuning& tuning : NarrowTunings(caps, shape)) {
    if ((tuning.parts > 1) == parts) names.push_back(NarrowVariant(tuning));
  }
  return names;
}

MatMulNBitsNorm NarrowNorm(DType scale) {
  return {.present = true, .input_dtype = DType::kF16, .scale_dtype = scale};
}

std::vector<KernelCase> MakeNarrowCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  if (NarrowTunings(caps, {.m = 16, .n = 32, .k = 256, .dtype = DType::kF16}).empty()) return cases;
  const auto add = [&](MatMulNBitsShape shape, std::vector<std::string> variants,
                       bool parts = false, bool sampled = false) -> KernelCase& {
    shape.dtype = DType::kF16;
    cases.push_back({.name = NarrowName(shape) + (parts ? ".parts" : ""),
                     .operands = [=] { return NarrowOperands(caps, shape, parts, sampled); },
                     .variants = std::move(variants),
                     .plan =
                         [=](const Caps& actual, std::string_view variant) {
                           return PlanMatMulNBits(actual, shape, variant);
                         }});
    return cases.back();
  };
  // Adds the first `most` tiles with one workgroup, and two with several.
  const auto add_all = [&](MatMulNBitsShape shape, size_t most) {
    shape.dtype = DType::kF16;
    for (const bool parts : {false, true}) {
      std::vector<std::string> variants = NarrowNames(caps, shape, parts);
      variants.resize(std::min(variants.size(), parts ? 2 : most));
      if (!variants.empty()) add(shape, variants, parts);
    }
  };
  // Sizes that are no multiples of a tile, with everything that may follow the product; a norm, a
  // gate and interleaved rows.
  for (const uint32_t m : {13u, 29u, 70u}) {
    MatMulNBitsShape odd = {.m = m, .n = 109, .k = 1288, .zero_points = ZeroPoints::kPacked};
    odd.bias = odd.residual = true;
    add_all(odd, 1);
    MatMulNBitsShape whole = {.m = m, .n = 200, .k = 1024, .residual = true};
    whole.interleave = kInterleavedRows;
    whole.norm = NarrowNorm(DType::kF32);
    add_all(whole, 100);
    MatMulNBitsShape gated = {.m = m, .n = 72, .k = 512, .bias = true, .glu = Glu::kSilu};
    gated.norm = NarrowNorm(DType::kF16);
    gated.interleave = kInterleavedRows;
    add_all(gated, 1);
  }
  // Numbers of rows.
  for (const uint32_t m : {1u, 16u, 17u, 65u}) add({.m = m, .n = 77, .k = 288}, {"narrow"});
  // All bits, block sizes and kinds of zero points.
  for (const uint32_t bits : {2u, 4u, 8u}) {
    for (const uint32_t block_size : {16u, 32u, 128u}) {
      MatMulNBitsShape shape = {.m = 5, .n = 72, .k = 520, .bits = bits, .block_size = block_size};
      shape.zero_points = block_size == 16 ? ZeroPoints::kFloat : ZeroPoints::kPacked;
      if (block_size != 32) shape.interleave = kInterleavedRows;
      add(shape, {"narrow"});
    }
  }
  for (const Glu glu : {Glu::kGelu, Glu::kGeluTanh})
    add({.m = 5, .n = 37, .k = 64, .bias = true, .glu = glu, .residual = true}, {"narrow"});
  // Rows [n_begin, n_begin + n_count) of B.
  for (const uint32_t count : {76u, 75u})
    add({.m = 18,
         .n = 200,
         .k = 96,
         .bias = true,
         .residual = true,
         .n_begin = 64,
         .n_count = count},
        {"narrow"});

  // Products of Qwen3-1.7B and Llama-3.2-1B.
  const auto model = [&](MatMulNBitsShape shape) {
    shape.dtype = DType::kF16;
    shape.interleave = kInterleavedRows;
    std::vector<std::string> others;
    for (const std::string& variant : MatMulNBitsVariants(caps, shape)) {
      if (!variant.starts_with("narrow") && !variant.ends_with(".p2")) others.push_back(variant);
    }
    for (const bool parts : {false, true}) {
      std::vector<std::string> variants = NarrowNames(caps, shape, parts);
      if (!parts) variants.insert(variants.end(), others.begin(), others.end());
      if (variants.empty()) continue;
      KernelCase& added = add(shape, std::move(variants), parts, true);
      added.benchmark_only = true;
      const double n = shape.b_rows(), k = shape.k, m = shape.m;
      added.bytes = n * (k * shape.bits / 8.0 + k / shape.block_size * 2) + 2.0 * m * (k + shape.n);
      added.flops = 2.0 * m * n * k;
    }
  };
  for (const uint32_t m : {1u, 4u, 8u, 16u, 32u, 64u, 128u, 256u}) {
    const MatMulNBitsNorm none = {}, norm = NarrowNorm(DType::kF16);
    for (const MatMulNBitsNorm& before : {none, norm}) {
      if (before.present && m > 64) continue;
      model({.m = m, .n = 4096, .k = 2048, .norm = before});
      model({.m = m, .n = 3072, .k = 2048, .norm = before});
      model({.m = m, .n = 6144, .k = 2048, .glu = Glu::kSilu, .norm = before});
      model({.m = m, .n = 8192, .k = 2048, .glu = Glu::kSilu, .norm = before});
    }
    for (const uint32_t k : {2048u, 6144u, 8192u})
      model({.m = m, .n = 2048, .k = k, .residual = true});
    model({.m = m, .n = 151936, .k = 2048});
  }
  return cases;
}

const bool kNarrowRegistered = RegisterKernelCases("matmul_nbits_narrow", MakeNarrowCases);

// Returns the bits of Y's rows as the guess computes the first `m` of the shape's rows.
std::vector<std::byte> FirstRows(const MatMulNBitsShape& shape, uint32_t m,
                                 const std::vector<Operand>& operands) {
  MatMulNBitsShape some = shape;
  some.m = m;
  std::vector<Operand> rows = operands;
  for (const size_t i : {0, 5, 6}) {
    if (!rows[i].present) continue;
    rows[i].values = Rows(rows[i].values, shape.m, 0, m);
    rows[i].expected = Rows(rows[i].expected, shape.m, 0, m);
  }
  gpu::Device& device = TestDevice();
  const KernelPlan plan = PlanMatMulNBits(device.caps(), some, "narrow");
  if (plan.scratch_words == 0) rows.resize(MatMulNBitsRoles::kNormScale.binding);
  return RunPlan(device, plan, rows)[5];
}

// What a deterministic answer needs, whatever runs beside a sequence.
TEST(MatMulNBitsNarrow, RowsDoNotDependOnTheirNumber) {
  const Caps& caps = TestDevice().caps();
  MatMulNBitsShape parts = {.m = 64, .n = 72, .k = 1024, .dtype = DType::kF16, .residual = true};
  parts.interleave = kInterleavedRows;
  if (NarrowTunings(caps, parts).empty()) return;
  MatMulNBitsShape gated = {.m = 40, .n = 72, .k = 256, .dtype = DType::kF16, .glu = Glu::kSilu};
  gated.norm = NarrowNorm(DType::kF16);
  for (const MatMulNBitsShape& shape : {parts, gated}) {
    std::vector<Operand> operands = NarrowOperands(caps, shape, shape == parts, false);
    operands[5].values.assign(operands[5].expected.size(), 0.0);
    const std::vector<std::byte> all = FirstRows(shape, shape.m, operands);
    for (const uint32_t m : {2u, 17u}) {
      const std::vector<std::byte> some = FirstRows(shape, m, operands);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin()))
          << Name(shape) << ", " << m << " rows";
    }
  }
}

// Guesses of Qwen3-1.7B's products have parts that fill an H200, the same for any number of rows.
TEST(MatMulNBitsNarrow, GuessesPartsByColumnsAndDepth) {
  Caps caps;
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.subgroup_matrix = {{DType::kF16, DType::kF32, 16, 16, 16}};
  caps.limits.max_workgroup_storage_bytes = 48 << 10;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  const auto guess = [&](MatMulNBitsShape shape) {
    shape.dtype = DType::kF16;
    return NarrowVariant(NarrowTunings(caps, shape).at(0));
  };
  EXPECT_EQ(guess({.m = 8, .n = 4096, .k = 2048}), "narrow.16x64x128.c2.k4.d2.p2");
  EXPECT_EQ(guess({.m = 16, .n = 2048, .k = 2048}), "narrow.16x64x128.c2.k4.d2.p4");
  EXPECT_EQ(guess({.m = 32, .n = 2048, .k = 6144}), "narrow.32x64x128.c2.k4.d2.p4");
  EXPECT_EQ(guess({.m = 64, .n = 6144, .k = 2048, .glu = Glu::kSilu}), "narrow.64x96x128.c3.k4.d2");
  EXPECT_EQ(guess({.m = 16, .n = 151936, .k = 2048}), "narrow.16x64x128.c2.k4.d2");
}

}  // namespace
}  // namespace sinter::kernels

// Cases of the decode form of QMoE's layers.

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/qmoe/qmoe_testing.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

using namespace qmoe;  // NOLINT: the helpers of these tests

// Products and sums of 8 in f16 are off by some of its epsilons each, with random signs.
double ProductTolerance(bool f16_math, double k) {
  return SumTolerance(k) + (f16_math ? 4.0 * Epsilon(DType::kF16) * std::sqrt(k) : 0.0);
}

std::vector<Operand> GateUpOperands(const Caps& caps, const QMoEShape& shape,
                                    std::string_view variant) {
  const DType device = DeviceDType(caps, shape.dtype);
  const DType hidden = QMoEDecodeHiddenDType(caps, shape, variant);
  const Weight fc1 = MakeFc1(shape);
  const std::vector<double> indices = MakeIndices(shape);
  const std::vector<double> x = RandomValues(shape.dtype, size_t{shape.tokens} * shape.hidden, 1);
  const std::vector<double> h = QMoEGateUpReference(shape, x, fc1.view(), indices);
  return {
      Operand::Input(device, x),
      Operand::Packed(fc1.codes),
      Operand::Input(device, fc1.scales),
      fc1.zero_points.empty() ? Operand::Absent() : Operand::Packed(fc1.zero_points),
      fc1.bias.empty() ? Operand::Absent() : Operand::Input(device, fc1.bias),
      Operand::Input(DType::kI32, indices),
      Operand::Output(hidden, h,
                      ProductTolerance(hidden == DType::kF16, shape.hidden) * Amplification(shape),
                      16 * Epsilon(hidden))};
}

std::vector<Operand> DownOperands(const Caps& caps, const QMoEShape& shape,
                                  std::string_view variant) {
  const DType device = DeviceDType(caps, shape.dtype);
  const DType hidden = QMoEDecodeHiddenDType(caps, shape, variant);
  const Weight fc2 = MakeFc2(shape);
  const std::vector<double> indices = MakeIndices(shape);
  const size_t slots = indices.size();
  const std::vector<double> h = RandomValues(hidden, slots * shape.intermediate, 1);
  // Different shares with a sum of 1.
  std::vector<double> weights;
  for (size_t slot = 0; slot < slots; ++slot) {
    weights.push_back(2.0 * (slot % shape.top_k + 1) / (shape.top_k * (shape.top_k + 1.0)));
  }
  weights = RoundTo(DType::kF32, std::move(weights));
  const std::vector<double> y =
      QMoEMixReference(shape, QMoEDownReference(shape, h, fc2.view(), indices), weights);
  return {Operand::Input(hidden, h),
          Operand::Packed(fc2.codes),
          Operand::Input(device, fc2.scales),
          fc2.zero_points.empty() ? Operand::Absent() : Operand::Packed(fc2.zero_points),
          fc2.bias.empty() ? Operand::Absent() : Operand::Input(device, fc2.bias),
          Operand::Input(DType::kI32, indices),
          Operand::Output(device, y, ProductTolerance(hidden == DType::kF16, shape.intermediate),
                          2 * Epsilon(device)),
          Operand::Input(DType::kF32, weights)};
}

std::vector<KernelCase> MakeCases(const Caps& caps, bool gate_up) {
  std::vector<KernelCase> cases;
  // Adds one case per variant, because variants differ in the type of h.
  const auto add = [&](const QMoEShape& shape, const Caps& used, std::string name,
                       bool all_variants) {
    std::vector<std::string> variants = QMoEDecodeVariants(used, shape);
    if (!all_variants && !variants.empty()) variants.resize(1);
    for (const std::string& variant : variants) {
      cases.push_back({.name = Name(shape) + name,
                       .operands =
                           [=] {
                             return gate_up ? GateUpOperands(used, shape, variant)
                                            : DownOperands(used, shape, variant);
                           },
                       .variants = {variant},
                       .plan =
                           [=](const Caps&, std::string_view picked) {
                             return gate_up ? PlanQMoEGateUpDecode(used, shape, picked)
                                            : PlanQMoEDownDecode(used, shape, picked);
                           }});
    }
  };
  const auto bench = [&](const QMoEShape& shape) {
    const size_t first = cases.size();
    add(shape, caps, "", caps.fixed_subgroup_size() == 32);
    const double rows = double(shape.top_k) * (gate_up ? shape.fc1_rows() : shape.hidden);
    const double k = gate_up ? shape.hidden : shape.intermediate;
    for (size_t i = first; i < cases.size(); ++i) {
      cases[i].bytes = rows * (k / 2 + k / 32 * 2);
      cases[i].flops = rows * k * 2;
    }
  };

  // Every variant, with and without subgroups; 1 to 8 experts per token.
  for (uint32_t top_k = 1; top_k <= 8; ++top_k) {
    const QMoEShape shape = GptOss({.tokens = 2,
                                    .experts = 9,
                                    .top_k = top_k,
                                    .hidden = 288,
                                    .intermediate = 352,
                                    .block_size = 32,
                                    .dtype = DType::kF16});
    add(shape, caps, "", top_k == 4);
    add(shape, WithoutSubgroups(caps), ".no_subgroups", top_k == 4);
    if (top_k < 3) add(shape, WithoutF16(caps), ".widened", top_k == 2);
  }
  // Encodings: bits, blocks and no blocks, zero points, both element types; loads of 4 to 16 bytes.
  for (const uint32_t bits : {2u, 4u, 8u}) {
    for (const uint32_t block_size : {0u, 16u, 32u, 64u, 256u}) {
      for (const bool zero_points : {false, true}) {
        for (const DType dtype : {DType::kF16, DType::kF32}) {
          add(GptOss({.tokens = 1,
                      .experts = 5,
                      .top_k = 2,
                      .hidden = 96,
                      .intermediate = 160,
                      .bits = bits,
                      .block_size = block_size,
                      .dtype = dtype,
                      .fc1_zero_points = zero_points,
                      .fc2_zero_points = zero_points}),
              caps, "", false);
        }
      }
    }
  }
  for (const uint32_t features : {16u, 40u, 48u, 64u}) {
    for (const uint32_t bits : {4u, 8u}) {
      add({.tokens = 3,
           .experts = 3,
           .top_k = 2,
           .hidden = features,
           .intermediate = features,
           .bits = bits,
           .block_size = 16,
           .dtype = DType::kF16,
           .fc1_zero_points = true,
           .fc2_zero_points = true},
          caps, "", true);
    }
  }
  for (const QMoEActivation activation :
       {QMoEActivation::kRelu, QMoEActivation::kGelu, QMoEActivation::kSilu,
        QMoEActivation::kIdentity, QMoEActivation::kSwiGlu}) {
    add({.tokens = 2,
         .experts = 4,
         .top_k = 3,
         .hidden = 64,
         .intermediate = 72,
         .block_size = 32,
         .activation = activation,
         .fusion = SwiGluFusion::kHalves,
         .fc1_bias = true},
        caps, "", true);
  }
  // Slots that do not fit workgroup memory at once.
  Caps small = caps;
  small.limits.max_workgroup_storage_bytes = 4096;
  add({.tokens = 2,
       .experts = 9,
       .top_k = 6,
       .hidden = 512,
       .intermediate = 512,
       .block_size = 32,
       .dtype = DType::kF16,
       .fc2_bias = true},
      small, ".small_memory", true);

  // gpt-oss-20b: 4 of 32 experts (8 are enough to keep 4 apart), 2880 by 2880. Qwen3-30B-A3B: 8 of
  // 128 (here 16), 2048 by 768.
  bench(GptOss({.tokens = 1,
                .experts = 8,
                .top_k = 4,
                .hidden = 2880,
                .intermediate = 2880,
                .block_size = 32,
                .dtype = DType::kF16}));
  bench({.tokens = 1,
         .experts = 16,
         .top_k = 8,
         .hidden = 2048,
         .intermediate = 768,
         .block_size = 32,
         .dtype = DType::kF16,
         .normalize = true});
  return cases;
}

const bool kRegistered =
    RegisterKernelCases("qmoe_gate_up_decode",
                        [](const Caps& caps) { return MakeCases(caps, true); }) &&
    RegisterKernelCases("qmoe_down_decode",
                        [](const Caps& caps) { return MakeCases(caps, false); });

// A clamped result would be wrong without a word.
TEST(QMoEDecode, WhatOverflowsBetweenTheProductsIsInfinite) {
  gpu::Device& device = TestDevice();
  const Caps& caps = device.caps();
  const QMoEShape shape = {.tokens = 2,
                           .experts = 3,
                           .top_k = 2,
                           .hidden = 64,
                           .intermediate = 64,
                           .block_size = 32,
                           .dtype = DType::kF16,
                           .activation = QMoEActivation::kIdentity};
  const Weight fc1 = MakeFc1(shape);
  const std::vector<double> indices = MakeIndices(shape);
  std::vector<double> x = RandomValues(shape.dtype, size_t{shape.tokens} * shape.hidden, 1);
  x[5] = 60000;
  x[6] = 40000;
  const std::vector<double> want = QMoEGateUpReference(shape, x, fc1.view(), indices);
  size_t overflows = 0;
  for (const std::string& variant : QMoEDecodeVariants(caps, shape)) {
    const DType hidden = QMoEDecodeHiddenDType(caps, shape, variant);
    std::vector<Operand> operands = GateUpOperands(caps, shape, variant);
    operands[0] = Operand::Input(DeviceDType(caps, shape.dtype), x);
    const std::vector<double> h = DecodeElements(
        hidden, RunPlan(device, PlanQMoEGateUpDecode(caps, shape, variant), operands)[6],
        want.size());
    for (size_t i = 0; i < h.size(); ++i) {
      const double size = std::fabs(want[i]);
      if (hidden == DType::kF16 && size > 33500) {
        EXPECT_EQ(h[i], std::copysign(INFINITY, want[i])) << variant << " " << want[i];
        ++overflows;
      } else if (size < 32000 || hidden == DType::kF32) {
        EXPECT_NEAR(h[i], want[i], 100) << variant;
      }
    }
  }
  EXPECT_EQ(overflows > 0, caps.f16);
}

TEST(QMoEDecode, RefusesWhatItDoesNotHave) {
  Caps caps;
  caps.f16 = true;
  const QMoEShape shape = {.experts = 4,
                           .top_k = 2,
                           .hidden = 64,
                           .intermediate = 64,
                           .block_size = 32,
                           .dtype = DType::kF16};
  EXPECT_FALSE(QMoEDecodeVariants(caps, shape).empty());
  EXPECT_THROW(PlanQMoEGateUpDecode(caps, shape, "decode.wg7.r4"), Error);
  QMoEShape odd = shape;
  odd.hidden = 60;
  EXPECT_TRUE(QMoEDecodeVariants(caps, odd).empty()) << "no whole octets";
  EXPECT_THROW(PlanQMoEDownDecode(caps, odd), Error);
  QMoEShape wide = shape;
  wide.intermediate = 1u << 14;
  EXPECT_TRUE(QMoEDecodeVariants(caps, wide).empty()) << "workgroup memory";
  QMoEShape part = shape;
  part.expert_count = 2;
  EXPECT_TRUE(QMoEDecodeVariants(caps, part).empty()) << "a range of experts";
  caps.limits.max_storage_binding_bytes = 4096;
  EXPECT_TRUE(QMoEDecodeVariants(caps, shape).empty()) << "bindings";
}

}  // namespace
}  // namespace sinter::kernels

// Cases of QMoE: each of its four kernels, and the whole operator with all of them.

#include "kernels/qmoe/qmoe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/qmoe/qmoe_testing.h"
#include "kernels/testing/kernel_case.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

using namespace qmoe;  // NOLINT: the helpers of these tests

// Slots of other experts must keep their values.
constexpr double kUntouched = 7.0;

std::vector<Operand> LayerOperands(const QMoEShape& shape, DType x_type, DType device,
                                   std::vector<double> x, const Weight& weight,
                                   std::vector<double> expected, double abs_tolerance) {
  const std::vector<double> indices = MakeIndices(shape);
  // The exponential and the few operations of an activation are accurate to some epsilons each.
  Operand out =
      Operand::Output(DType::kF32, std::move(expected), abs_tolerance, 16 * Epsilon(DType::kF32));
  if (shape.expert_count != 0) {
    out.values.assign(out.expected.size(), kUntouched);
    const size_t features = out.expected.size() / indices.size();
    for (size_t slot = 0; slot < indices.size(); ++slot) {
      if (indices[slot] >= shape.expert_begin &&
          indices[slot] < shape.expert_begin + shape.expert_count) {
        continue;
      }
      std::fill_n(out.expected.begin() + slot * features, features, kUntouched);
    }
  }
  return {Operand::Input(x_type, std::move(x)),
          Operand::Packed(BoundExperts(shape, weight.codes)),
          Operand::Input(device, BoundExperts(shape, weight.scales)),
          weight.zero_points.empty() ? Operand::Absent()
                                     : Operand::Packed(BoundExperts(shape, weight.zero_points)),
          weight.bias.empty() ? Operand::Absent()
                              : Operand::Input(device, BoundExperts(shape, weight.bias)),
          Operand::Input(DType::kI32, indices),
          std::move(out)};
}

std::vector<Operand> GateUpOperands(const QMoEShape& shape, DType device) {
  const Weight fc1 = MakeFc1(shape);
  std::vector<double> x = RandomValues(shape.dtype, size_t{shape.tokens} * shape.hidden, 1);
  std::vector<double> h = QMoEGateUpReference(shape, x, fc1.view(), MakeIndices(shape));
  return LayerOperands(shape, device, device, std::move(x), fc1, std::move(h),
                       SumTolerance(shape.hidden) * Amplification(shape));
}

std::vector<Operand> DownOperands(const QMoEShape& shape, DType device) {
  const Weight fc2 = MakeFc2(shape);
  const size_t slots = size_t{shape.tokens} * shape.top_k;
  std::vector<double> h = RandomValues(DType::kF32, slots * shape.intermediate, 1);
  std::vector<double> d = QMoEDownReference(shape, h, fc2.view(), MakeIndices(shape));
  return LayerOperands(shape, DType::kF32, device, std::move(h), fc2, std::move(d),
                       SumTolerance(shape.intermediate));
}

std::vector<KernelCase> MakeExpertCases(const Caps& caps, bool gate_up) {
  std::vector<KernelCase> cases;
  const auto add = [&](const QMoEShape& shape, bool without_f16 = false) -> KernelCase& {
    const DType device = DeviceDType(without_f16 ? WithoutF16(caps) : caps, shape.dtype);
    cases.push_back(
        {.name = Name(shape) + (without_f16 ? ".widened" : ""),
         .operands =
             [=] { return gate_up ? GateUpOperands(shape, device) : DownOperands(shape, device); },
         .variants = QMoEExpertVariants(caps),
         .plan =
             [=](const Caps& actual, std::string_view variant) {
               const Caps used = without_f16 ? WithoutF16(actual) : actual;
               return gate_up ? PlanQMoEGateUp(used, shape, variant)
                              : PlanQMoEDown(used, shape, variant);
             }});
    return cases.back();
  };
  // Both encodings with both element types, per channel and in blocks, with and without zero
  // points.
  for (const uint32_t bits : {4u, 8u}) {
    for (const uint32_t block_size : {0u, 16u, 32u, 64u}) {
      for (const bool zero_points : {false, true}) {
        add(GptOss({.tokens = 3,
                    .experts = 5,
                    .top_k = 2,
                    .hidden = 96,
                    .intermediate = 160,
                    .bits = bits,
                    .block_size = block_size,
                    .dtype = zero_points ? DType::kF16 : DType::kF32,
                    .fc1_zero_points = zero_points,
                    .fc2_zero_points = zero_points}));
      }
    }
  }
  add({.tokens = 2,
       .experts = 3,
       .hidden = 64,
       .intermediate = 32,
       .bits = 2,
       .block_size = 16,
       .fc1_zero_points = true,
       .fc2_zero_points = true});
  // Rows of every alignment: 40 codes of 4 bits are 20 bytes, 36 are 18, 35 are 18 with a tail.
  for (const uint32_t features : {40u, 36u, 35u, 1u}) {
    for (const uint32_t bits : {4u, 8u}) {
      add({.tokens = 2,
           .experts = 3,
           .top_k = 2,
           .hidden = features,
           .intermediate = features,
           .bits = bits,
           .block_size = bits == 4 ? 0u : 16u,
           .dtype = DType::kF16,
           .fc1_zero_points = true,
           .fc2_zero_points = true});
    }
  }
  if (gate_up) {
    for (const QMoEActivation activation : {QMoEActivation::kRelu, QMoEActivation::kGelu,
                                            QMoEActivation::kSilu, QMoEActivation::kIdentity}) {
      add({.tokens = 2,
           .experts = 4,
           .top_k = 3,
           .hidden = 64,
           .intermediate = 70,
           .block_size = 32,
           .activation = activation,
           .fc1_bias = true});
    }
    add({.tokens = 2,
         .experts = 4,
         .top_k = 3,
         .hidden = 64,
         .intermediate = 70,
         .block_size = 32,
         .fusion = SwiGluFusion::kHalves,
         .alpha = 1.702f,
         .beta = 1.0f,
         .fc1_bias = true});
    QMoEShape halves = GptOss({.tokens = 2,
                               .experts = 4,
                               .top_k = 3,
                               .hidden = 64,
                               .intermediate = 70,
                               .block_size = 32});
    halves.fusion = SwiGluFusion::kHalves;
    add(halves);
  }
  // Binds only experts [2, 6).
  add(GptOss({.tokens = 9,
              .experts = 8,
              .top_k = 4,
              .hidden = 64,
              .intermediate = 64,
              .block_size = 32,
              .dtype = DType::kF16,
              .fc1_zero_points = true,
              .fc2_zero_points = true,
              .expert_begin = 2,
              .expert_count = 4}));
  add(GptOss({.tokens = 2,
              .experts = 4,
              .top_k = 2,
              .hidden = 64,
              .intermediate = 64,
              .block_size = 32,
              .dtype = DType::kF16}),
      true);

  // gpt-oss-20b: 4 of 32 experts (8 are enough to keep 4 apart), 2880 by 2880.
  const QMoEShape model_shape = GptOss({.tokens = 1,
                                        .experts = 8,
                                        .top_k = 4,
                                        .hidden = 2880,
                                        .intermediate = 2880,
                                        .block_size = 32,
                                        .dtype = DType::kF16});
  KernelCase& model = add(model_shape);
  model.variants = {""};
  const double rows = 4.0 * (gate_up ? 2 : 1) * 2880;
  model.bytes = rows * (2880 / 2.0 + 2880 / 32.0 * 2);
  model.flops = rows * 2880 * 2;
  return cases;
}

std::vector<KernelCase> MakeRouterCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const QMoEShape& shape, bool equal = false) {
    const DType device = DeviceDType(caps, shape.dtype);
    cases.push_back(
        {.name = fmt::format("t{}.k{}of{}.{}{}{}", shape.tokens, shape.top_k, shape.experts,
                             DTypeName(shape.dtype), shape.normalize ? ".normalize" : "",
                             equal ? ".equal" : ""),
         .operands = [=]() -> std::vector<Operand> {
           const size_t count = size_t{shape.tokens} * shape.experts;
           std::vector<double> logits = RandomValues(shape.dtype, count, 1, 3.0);
           // Whole numbers: many are equal, and the lower index must win.
           if (equal) {
             for (double& logit : logits) logit = std::round(logit / 2);
           }
           const QMoERouting routing = QMoERouterReference(shape, logits);
           // WGSL allows an exponential 3 + 2 |x| units in the last place (2 epsilons each); x is
           // within 30 here. The sum has one term per expert.
           const double relative =
               Epsilon(DType::kF32) * (2 * (3 + 2 * 30.0) + shape.experts + 4.0);
           return {Operand::Input(device, logits), Operand::Output(DType::kI32, routing.indices, 0),
                   Operand::Output(DType::kF32, routing.weights, 0, relative)};
         },
         .plan = [=](const Caps& actual,
                     std::string_view variant) { return PlanQMoERouter(actual, shape, variant); }});
  };
  for (const bool normalize : {false, true}) {
    for (const DType dtype : {DType::kF32, DType::kF16}) {
      add({.tokens = 5, .experts = 32, .top_k = 4, .dtype = dtype, .normalize = normalize});
      add({.tokens = 130, .experts = 128, .top_k = 8, .dtype = dtype, .normalize = normalize});
    }
    add({.tokens = 1, .experts = 1, .top_k = 1, .normalize = normalize});
    add({.tokens = 3, .experts = 77, .top_k = 77, .normalize = normalize});
    add({.tokens = 17, .experts = 300, .top_k = 6, .normalize = normalize}, true);
  }
  return cases;
}

std::vector<KernelCase> MakeMixCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const uint32_t hidden : {1u, 77u, 2880u}) {
      for (const uint32_t top_k : {1u, 4u}) {
        const QMoEShape shape = {
            .tokens = 3, .experts = 8, .top_k = top_k, .hidden = hidden, .dtype = dtype};
        const DType device = DeviceDType(caps, dtype);
        cases.push_back(
            {.name = fmt::format("t3.k{}.h{}.{}", top_k, hidden, DTypeName(dtype)),
             .operands = [=]() -> std::vector<Operand> {
               std::vector<double> d = RandomValues(DType::kF32, size_t{3} * top_k * hidden, 1);
               std::vector<double> weights = RandomValues(DType::kF32, size_t{3} * top_k, 2);
               std::vector<double> y = QMoEMixReference(shape, d, weights);
               return {
                   Operand::Input(DType::kF32, std::move(d)),
                   Operand::Input(DType::kF32, std::move(weights)),
                   Operand::Output(device, std::move(y), SumTolerance(top_k), 2 * Epsilon(device))};
             },
             .plan =
                 [=](const Caps& actual, std::string_view variant) {
                   return PlanQMoEMix(actual, shape, variant);
                 }});
      }
    }
  }
  return cases;
}

const bool kRegistered =
    RegisterKernelCases("qmoe_router", MakeRouterCases) &&
    RegisterKernelCases("qmoe_gate_up",
                        [](const Caps& caps) { return MakeExpertCases(caps, true); }) &&
    RegisterKernelCases("qmoe_down",
                        [](const Caps& caps) { return MakeExpertCases(caps, false); }) &&
    RegisterKernelCases("qmoe_mix", MakeMixCases);

// Returns the buffer of the last operand after the plan's run, as numbers.
std::vector<double> RunLast(const KernelPlan& plan, const std::vector<Operand>& operands) {
  const auto results = RunPlan(TestDevice(), plan, operands);
  const Operand& last = operands.back();
  return DecodeElements(last.dtype, results.back(), last.expected.size());
}

std::vector<double> RunLayer(const KernelPlan& plan, const Weight& weight, DType x_type,
                             DType device, const std::vector<double>& x,
                             const std::vector<double>& indices, size_t outputs) {
  return RunLast(plan, {Operand::Input(x_type, x), Operand::Packed(weight.codes),
                        Operand::Input(device, weight.scales), Operand::Absent(),
                        Operand::Input(device, weight.bias), Operand::Input(DType::kI32, indices),
                        Operand::Output(DType::kF32, std::vector<double>(outputs), 0)});
}

TEST(QMoE, FourKernelsMakeTheOperator) {
  const Caps& caps = TestDevice().caps();
  const QMoEShape shape = GptOss(
      {.tokens = 5, .experts = 6, .top_k = 3, .hidden = 64, .intermediate = 96, .block_size = 32});
  const Weight fc1 = MakeFc1(shape), fc2 = MakeFc2(shape);
  const std::vector<double> x = RandomValues(DType::kF32, shape.tokens * shape.hidden, 1);
  const std::vector<double> logits = RandomValues(DType::kF32, shape.tokens * shape.experts, 2);
  const size_t slots = size_t{shape.tokens} * shape.top_k;

  const std::vector<Operand> routing_operands = {
      Operand::Input(DType::kF32, logits),
      Operand::Output(DType::kI32, std::vector<double>(slots), 0),
      Operand::Output(DType::kF32, std::vector<double>(slots), 0)};
  const auto routing = RunPlan(TestDevice(), PlanQMoERouter(caps, shape), routing_operands);
  const std::vector<double> indices = DecodeElements(DType::kI32, routing[1], slots);
  const std::vector<double> weights = DecodeElements(DType::kF32, routing[2], slots);
  const std::vector<double> h = RunLayer(PlanQMoEGateUp(caps, shape), fc1, DType::kF32, DType::kF32,
                                         x, indices, slots * shape.intermediate);
  const std::vector<double> d = RunLayer(PlanQMoEDown(caps, shape), fc2, DType::kF32, DType::kF32,
                                         h, indices, slots * shape.hidden);
  const std::vector<double> y =
      RunLast(PlanQMoEMix(caps, shape),
              {Operand::Input(DType::kF32, d), Operand::Input(DType::kF32, weights),
               Operand::Output(DType::kF32, std::vector<double>(x.size()), 0)});

  const std::vector<double> expected = QMoEReference(shape, x, logits, fc1.view(), fc2.view());
  // Errors of h pass through fc2 (sqrt(intermediate) of them add up at random signs, with h at most
  // 7 * 8), in addition to those of fc2 itself.
  const double tolerance =
      SumTolerance(shape.hidden) * Amplification(shape) * std::sqrt(shape.intermediate) +
      56 * SumTolerance(shape.intermediate);
  for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], expected[i], tolerance) << i;
}

TEST(QMoE, SplitsExpertsThatDoNotFitABinding) {
  Caps caps;
  caps.f16 = true;
  caps.limits.max_storage_binding_bytes = 128u << 20;
  const QMoEShape shape = GptOss({.experts = 32,
                                  .top_k = 4,
                                  .hidden = 2880,
                                  .intermediate = 2880,
                                  .block_size = 32,
                                  .dtype = DType::kF16});
  // 32 experts of 8.3 MB and of 4.1 MB.
  const auto gate_up = SplitQMoEGateUp(caps, shape);
  ASSERT_EQ(gate_up.size(), 2u);
  EXPECT_EQ(gate_up[0].count + gate_up[1].count, 32u);
  EXPECT_EQ(SplitQMoEDown(caps, shape).size(), 1u);
}

TEST(QMoE, RefusesWhatItDoesNotHave) {
  EXPECT_THROW(PlanQMoEGateUp({}, {.bits = 3}), Error);
  EXPECT_THROW(PlanQMoEDown({}, {.block_size = 48}), Error);
  EXPECT_THROW(PlanQMoERouter({}, {.experts = 4, .top_k = 5}), Error);
  EXPECT_THROW(PlanQMoERouter({}, {.experts = 4, .top_k = 0}), Error);
  EXPECT_THROW(PlanQMoERouter({}, {}, "wide"), Error);
  EXPECT_THROW(PlanQMoEMix({}, {}, "wide"), Error);
  EXPECT_THROW(PlanQMoEGateUp({}, {}, "sg"), Error);
  EXPECT_THROW(PlanQMoEGateUp({}, {.dtype = DType::kI32}), Error);
}

}  // namespace
}  // namespace sinter::kernels

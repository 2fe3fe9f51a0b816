// Cases of the router with the norm before it.

#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/matmul_nbits/matmul_nbits.h"
#include "kernels/qmoe/qmoe_testing.h"
#include "kernels/rms_norm/rms_norm.h"

namespace sinter::kernels {
namespace {

using qmoe::SumTolerance;

std::vector<Operand> MakeOperands(const Caps& caps, const QMoEShape& shape,
                                  const QMoENormRouterShape& router) {
  const DType device = DeviceDType(caps, shape.dtype);
  MatMulNBitsShape product = {.m = shape.tokens,
                              .n = shape.experts,
                              .k = shape.hidden,
                              .bits = router.bits,
                              .block_size = router.block_size,
                              .dtype = shape.dtype,
                              .bias = router.bias};
  if (router.zero_points) product.zero_points = ZeroPoints::kPacked;
  const std::vector<double> norm_scale = RandomValues(shape.dtype, shape.hidden, 2);
  const auto codes = RandomBytes(shape.experts * product.b_row_bytes(), 3);
  const auto scales =
      RandomValues(shape.dtype, shape.experts * product.blocks(), 4, 0.32 / (1u << router.bits));
  std::vector<std::byte> zero_points;
  if (router.zero_points)
    zero_points = RandomBytes(shape.experts * product.packed_zero_points_row_bytes(), 5);
  std::vector<double> bias;
  if (router.bias) bias = RandomValues(shape.dtype, shape.experts, 6);
  // Chosen logits must differ by more than rounding could reorder.
  const double gap = 8 * Epsilon(device) * 8;
  for (uint32_t seed = 7;; ++seed) {
    const std::vector<double> x =
        RandomValues(shape.dtype, size_t{shape.tokens} * shape.hidden, seed);
    const std::vector<double> h = RoundTo(
        device,
        RmsNormReference(shape.tokens, shape.hidden, router.epsilon, x, norm_scale, {}, {}).output);
    const std::vector<double> logits =
        RoundTo(device, MatMulNBitsReference(product, h, codes, scales, zero_points, {}, bias));
    bool clear = true;
    for (size_t token = 0; token < shape.tokens; ++token) {
      std::vector<double> sorted(logits.begin() + token * shape.experts,
                                 logits.begin() + (token + 1) * shape.experts);
      std::sort(sorted.rbegin(), sorted.rend());
      for (size_t i = 0; i < shape.top_k && i + 1 < shape.experts; ++i)
        clear = clear && sorted[i] - sorted[i + 1] > gap;
    }
    if (!clear) continue;
    const QMoERouting routing = QMoERouterReference(shape, logits);
    // A weight is the exponential of a logit, so its relative error is the logit's error: two units
    // in the last place of logits of size up to 8, and the rounding of an f32 sum.
    const double relative =
        4 * 8 * Epsilon(device) + SumTolerance(shape.hidden) + 256 * Epsilon(DType::kF32);
    return {Operand::Input(device, x),
            Operand::Input(device, norm_scale),
            Operand::Packed(codes),
            Operand::Input(device, scales),
            zero_points.empty() ? Operand::Absent() : Operand::Packed(zero_points),
            bias.empty() ? Operand::Absent() : Operand::Input(device, bias),
            Operand::Output(device, h, 16 * Epsilon(DType::kF32), 4 * Epsilon(device)),
            Operand::Output(DType::kI32, routing.indices, 0),
            Operand::Output(DType::kF32, routing.weights, 0, relative)};
  }
}

const bool kRegistered = RegisterKernelCases("qmoe_norm_router", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const QMoEShape& shape, const QMoENormRouterShape& router, const Caps& used,
                       std::string_view name = "") -> KernelCase& {
    cases.push_back(
        {.name = fmt::format("t{}.k{}of{}.h{}.b{}.blk{}.{}{}{}{}{}", shape.tokens, shape.top_k,
                             shape.experts, shape.hidden, router.bits, router.block_size,
                             DTypeName(shape.dtype), shape.normalize ? ".normalize" : "",
                             router.zero_points ? ".zp" : "", router.bias ? ".bias" : "", name),
         .operands = [=] { return MakeOperands(used, shape, router); },
         .plan =
             [=](const Caps&, std::string_view variant) {
               return PlanQMoENormRouter(used, shape, router, variant);
             }});
    return cases.back();
  };
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    for (const bool normalize : {false, true}) {
      for (const uint32_t top_k : {1u, 2u, 4u, 8u}) {
        const QMoEShape shape = {.tokens = 3,
                                 .experts = 9 * top_k,
                                 .top_k = top_k,
                                 .hidden = 100 * top_k,
                                 .dtype = dtype,
                                 .normalize = normalize};
        const QMoENormRouterShape router = {.zero_points = normalize, .bias = top_k != 2};
        add(shape, router, caps);
        add(shape, router, WithoutSubgroups(caps), ".no_subgroups");
      }
    }
    for (const uint32_t bits : {2u, 4u, 8u}) {
      for (const uint32_t block_size : {16u, 64u, 256u}) {
        add({.tokens = 2, .experts = 6, .top_k = 3, .hidden = 264, .dtype = dtype},
            {.bits = bits, .block_size = block_size, .zero_points = true}, caps);
      }
    }
  }
  add({.tokens = 2, .experts = 6, .top_k = 2, .hidden = 64, .dtype = DType::kF16}, {.bias = true},
      WithoutF16(caps), ".widened");
  add({.tokens = 1, .experts = 1, .top_k = 1, .hidden = 4}, {}, caps);
  // Sizes of gpt-oss-20b and Qwen3-30B-A3B.
  const auto bench = [&](const QMoEShape& shape, const QMoENormRouterShape& router) {
    if (!CanPlanQMoENormRouter(caps, shape, router)) return;
    KernelCase& model = add(shape, router, caps);
    model.bytes = double(shape.experts) * (shape.hidden / 2.0 + shape.hidden / 32.0 * 2);
    model.flops = 2.0 * shape.experts * shape.hidden;
  };
  bench({.experts = 32, .top_k = 4, .hidden = 2880, .dtype = DType::kF16, .normalize = true},
        {.bias = true});
  bench({.experts = 128, .top_k = 8, .hidden = 2048, .dtype = DType::kF16, .normalize = true}, {});
  return cases;
});

TEST(QMoENormRouter, RefusesWhatDoesNotFit) {
  const QMoEShape shape = {.experts = 4, .top_k = 2, .hidden = 64};
  EXPECT_TRUE(CanPlanQMoENormRouter({}, shape, {}));
  EXPECT_THROW(PlanQMoENormRouter({}, shape, {}, "wide"), Error);
  QMoEShape odd = shape;
  odd.hidden = 66;
  EXPECT_FALSE(CanPlanQMoENormRouter({}, odd, {}));
  EXPECT_THROW(PlanQMoENormRouter({}, odd, {}), Error);
  QMoEShape wide = shape;
  wide.hidden = 1u << 14;
  EXPECT_FALSE(CanPlanQMoENormRouter({}, wide, {})) << "workgroup memory";
  EXPECT_FALSE(CanPlanQMoENormRouter({}, shape, {.zero_points = true, .bias = true})) << "bindings";
}

}  // namespace
}  // namespace sinter::kernels

#include "kernels/softmax/softmax.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

std::vector<Operand> MakeOperands(const SoftmaxShape& shape, bool widen) {
  const DType dtype = widen ? DType::kF32 : shape.dtype;
  const size_t count = size_t{shape.outer} * shape.axis * shape.inner;
  // With a standard deviation of 3, differences to the maximum reach 30.
  const auto input = RandomValues(shape.dtype, count, 7, 3.0);
  // exp is off by up to 3 + 2 |x| units in the last place (the bound of Vulkan and WGSL), |x| < 30;
  // the sum adds a rounding for each step of a thread's chain.
  const double relative = 0x1p-23 * (3 + 2 * 30) * 2 + 0x1p-24 * (8 + shape.axis / 64.0);
  return {Operand::Input(dtype, input),
          Operand::Output(dtype, SoftmaxReference(shape, input),
                          dtype == DType::kF16 ? 0x1p-25 : 0x1p-126, Epsilon(dtype) + relative)};
}

const bool kRegistered = RegisterKernelCases("softmax", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](std::string name, SoftmaxShape shape, bool widen = false,
                       bool plain = false) {
    if (shape.dtype == DType::kF16 && !caps.f16) widen = true;
    KernelCase c;
    c.name = fmt::format("{}x{}x{}.{}{}", shape.outer, shape.axis, shape.inner,
                         DTypeName(shape.dtype), name);
    c.operands = [=] { return MakeOperands(shape, widen); };
    c.variants = plain ? std::vector<std::string>{""} : SoftmaxVariants(caps);
    c.plan = [=](Caps device, std::string_view variant) {
      if (widen) device = WithoutF16(device);
      if (plain) device = WithoutSubgroups(device);
      return PlanSoftmax(device, shape, variant);
    };
    c.bytes = double(shape.outer) * shape.axis * shape.inner * 2 * (DTypeBits(shape.dtype) / 8);
    cases.push_back(std::move(c));
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const uint32_t axis : {1u, 2u, 63u, 64u, 65u, 127u, 128u, 129u, 1000u, 5u * 7 * 11 * 13}) {
      add("", {.outer = 3, .axis = axis, .inner = 1, .dtype = dtype});
    }
    add("", {.outer = 2, .axis = 33, .inner = 5, .dtype = dtype});
    add("", {.outer = 1, .axis = 300, .inner = 17, .dtype = dtype});
    add("", {.outer = 70000, .axis = 2, .inner = 1, .dtype = dtype});
  }
  add(".widened", {.outer = 2, .axis = 100, .inner = 3, .dtype = DType::kF16}, true);
  add(".no_subgroups", {.outer = 2, .axis = 600, .inner = 1}, false, true);
  return cases;
});

TEST(Softmax, ReferenceMatchesHandComputedRow) {
  const auto got = SoftmaxReference({.outer = 1, .axis = 2, .inner = 2},
                                    std::vector<double>{0, 5, 0, 5 + std::log(3.0)});
  EXPECT_DOUBLE_EQ(got[0], 0.5);
  EXPECT_DOUBLE_EQ(got[1], 0.25);
  EXPECT_DOUBLE_EQ(got[3], 0.75);
}

TEST(Softmax, RefusesUnknownVariantsAndTypes) {
  EXPECT_THROW(PlanSoftmax({}, {.axis = 4}, "fast"), Error);
  EXPECT_THROW(PlanSoftmax({}, {.axis = 4, .dtype = DType::kBool}), Error);
}

}  // namespace
}  // namespace sinter::kernels

#include "kernels/reduce/reduce.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <tuple>

#include "base/error.h"
#include "kernels/common/indexing_testing.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

using Dims = std::vector<int64_t>;

constexpr ReduceOp kOps[] = {ReduceOp::kL2,   ReduceOp::kMax, ReduceOp::kMean,     ReduceOp::kMin,
                             ReduceOp::kProd, ReduceOp::kSum, ReduceOp::kSumSquare};

std::vector<double> Inputs(const ReduceShape& shape, int64_t count) {
  // Factors near 1 keep products in range.
  const bool prod = shape.op == ReduceOp::kProd;
  std::vector<double> x = RandomValues(shape.dtype, NumElems(shape.shape), 9, prod ? 0.02 : 1.0);
  for (size_t i = 0; i < x.size(); ++i) {
    if (IsFloat(shape.dtype)) {
      x[i] += prod ? 1 : 0;
    } else {
      x[i] = prod ? (i % 5 == 0 ? -1 : 1) * (count < 20 ? 2 : 1) : std::round(3 * x[i]);
    }
  }
  return RoundTo(shape.dtype, std::move(x));
}

// Returns an output with a tolerance for the worst of its elements: a chain of `count` additions in
// f32 is off by at most count * epsilon * sum(|terms|) in any order (Higham).
Operand Expected(const ReduceShape& shape, DType device, const std::vector<double>& x,
                 int64_t count) {
  Operand out = Operand::Output(
      device, ReduceReference(shape.op, shape.dtype, x, shape.shape, shape.axes), 0);
  if (!IsFloat(shape.dtype)) return out;
  const double growth = static_cast<double>(count + 4) * Epsilon(DType::kF32);
  std::vector<double> magnitude = x;
  for (double& value : magnitude) value = std::abs(value);
  const auto largest = [&](ReduceOp op) {
    const std::vector<double> sums =
        ReduceReference(op, shape.dtype, magnitude, shape.shape, shape.axes);
    return sums.empty() ? 0 : *std::max_element(sums.begin(), sums.end());
  };
  switch (shape.op) {
    case ReduceOp::kMax:
    case ReduceOp::kMin:
      return out;  // the result is one of the elements
    case ReduceOp::kSum:
    case ReduceOp::kMean:
      out.abs_tolerance = growth * largest(shape.op);
      break;
    case ReduceOp::kL2:
    case ReduceOp::kProd:
    case ReduceOp::kSumSquare:
      out.rel_tolerance = growth;  // terms of one sign
      break;
  }
  if (shape.op == ReduceOp::kL2) out.rel_tolerance += 0x1p-20;    // sqrt: 4.5 ULP
  if (shape.op == ReduceOp::kMean) out.rel_tolerance += 0x1p-21;  // the division: 2.5 ULP
  if (device == DType::kF16) {
    // The last rounding may go up or down, and a result below 2^-14 may become 0.
    out.rel_tolerance += 2 * Epsilon(DType::kF16);
    out.abs_tolerance += 0x1p-14;
  }
  return out;
}

void AddCase(const Caps& caps, const ReduceShape& shape, bool widened,
             std::vector<KernelCase>& cases) {
  const DType device = DeviceDType(widened ? WithoutF16(caps) : caps, shape.dtype);
  int64_t count = 1;
  for (const int64_t axis : shape.axes) count *= shape.shape[axis];
  KernelCase c;
  c.name =
      fmt::format("{}.{}.axes_{}.{}{}", ReduceOpName(shape.op), fmt::join(shape.shape, "x"),
                  fmt::join(shape.axes, "_"), DTypeName(shape.dtype), widened ? ".widened" : "");
  c.variants = ReduceVariants();
  c.operands = [=] {
    const std::vector<double> x = Inputs(shape, count);
    return std::vector<Operand>{Operand::Input(device, x), Expected(shape, device, x, count)};
  };
  c.plan = [=](const Caps& on, std::string_view variant) {
    return PlanReduce(widened ? WithoutF16(on) : on, shape, variant);
  };
  const double elems = static_cast<double>(NumElems(shape.shape));
  c.bytes = elems > 100000 ? elems * (device == DType::kF16 ? 2 : 4) : 0;
  cases.push_back(std::move(c));
}

const bool kRegistered = RegisterKernelCases("reduce", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  for (const ReduceOp op : kOps) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kI32}) {
      if (op == ReduceOp::kL2 && dtype == DType::kI32) continue;
      AddCase(caps, {op, dtype, {5, 7, 11, 13}, {3}}, false, cases);
      AddCase(caps, {op, dtype, {5, 7, 11, 13}, {0, 2}}, false, cases);
    }
  }
  for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax}) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kI64}) {
      AddCase(caps, {op, dtype, {}, {}}, false, cases);
      AddCase(caps, {op, dtype, {1}, {0}}, false, cases);
      AddCase(caps, {op, dtype, {3}, {}}, false, cases);
      AddCase(caps, {op, dtype, {3, 1, 5}, {1}}, false, cases);
      AddCase(caps, {op, dtype, {5 * 7 * 11 * 13}, {0}}, false, cases);
      AddCase(caps, {op, dtype, {5, 7, 11, 13}, {0, 1, 2, 3}}, false, cases);
      AddCase(caps, {op, dtype, {5, 7, 11, 13}, {2, 1}}, false, cases);
      AddCase(caps, {op, dtype, {300, 17}, {0}}, false, cases);
      AddCase(caps, {op, dtype, {2, 3, 2, 3, 2, 3, 2, 3}, {1, 3, 5, 7}}, false, cases);
    }
  }
  AddCase(caps, {ReduceOp::kSum, DType::kF32, {5, 7, 11, 13}, {0, 2}}, false, cases);
  cases.back() = WithFoldedGrid(cases.back(), 10);
  cases.back().variants = {"tree"};
  AddCase(caps, {ReduceOp::kSum, DType::kF32, {5005, 3}, {1}}, false, cases);
  cases.back() = WithFoldedGrid(cases.back(), 6);
  cases.back().variants = {"serial"};
  // Masked attention scores are rows of -inf: their maximum is -inf, not the smallest float.
  KernelCase infinity;
  infinity.name = "max_of_minus_infinity.f32";
  infinity.variants = ReduceVariants();
  infinity.operands = [] {
    std::vector<double> x(2 * 300, -INFINITY);
    x[300 + 299] = -3;
    return std::vector<Operand>{Operand::Input(DType::kF32, x),
                                Operand::Output(DType::kF32, {-INFINITY, -3}, 0)};
  };
  infinity.plan = [](const Caps& on, std::string_view variant) {
    return PlanReduce(on, {ReduceOp::kMax, DType::kF32, {2, 300}, {1}}, variant);
  };
  cases.push_back(std::move(infinity));
  // NaN anywhere in a reduction is its maximum and its minimum.
  for (const ReduceOp op : {ReduceOp::kMax, ReduceOp::kMin}) {
    KernelCase nan;
    nan.name = fmt::format("{}_of_nan.f32", ReduceOpName(op));
    nan.variants = ReduceVariants();
    nan.operands = [=] {
      std::vector<double> x = RandomValues(DType::kF32, 4 * 300, 3);
      x[17] = x[300] = x[2 * 300 + 299] = NAN;
      // NaN as an expectation would match anything, so the kernel's result is compared by its bits.
      const float clean =
          static_cast<float>(ReduceReference(op, DType::kF32, x, Dims{4, 300}, Dims{1})[3]);
      std::vector<double> bits(3, 0x7fc00000);
      bits.push_back(std::bit_cast<uint32_t>(clean));
      return std::vector<Operand>{Operand::Input(DType::kF32, x),
                                  Operand::Output(DType::kU32, bits, 0)};
    };
    nan.plan = [=](const Caps& on, std::string_view variant) {
      return PlanReduce(on, {op, DType::kF32, {4, 300}, {1}}, variant);
    };
    cases.push_back(std::move(nan));
  }
  // Sums of int64 that note what does not fit 32 bits.
  for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kProd, ReduceOp::kSumSquare}) {
    for (const bool fits : {true, false}) {
      KernelCase c;
      c.name = fmt::format("{}_{}.i64", ReduceOpName(op), fits ? "that_fits" : "beyond_32_bits");
      c.variants = ReduceVariants();
      c.operands = [=] {
        std::vector<double> x(300, op == ReduceOp::kProd ? 1 : 0);
        x[17] = x[250] = op == ReduceOp::kSum ? 0x1p30 - (fits ? 1 : 0) : fits ? 30000 : 60000;
        Operand faults = Operand::Output(DType::kU32, {fits ? 3.0 : 7.0}, 0);
        faults.values = {3};
        const double y = ReduceReference(op, DType::kI64, x, Dims{300}, Dims{0})[0];
        return std::vector<Operand>{Operand::Input(DType::kI32, x),
                                    Operand::Output(DType::kI32, {fits ? y : NAN}, 0),
                                    std::move(faults)};
      };
      c.plan = [=](const Caps& on, std::string_view variant) {
        return PlanReduce(on, {op, DType::kI64, {300}, {0}, 7}, variant);
      };
      cases.push_back(std::move(c));
    }
  }
  // Reductions of no elements.
  for (const auto& [op, dtype, result] : {std::tuple(ReduceOp::kSum, DType::kF32, 0.0),
                                          {ReduceOp::kProd, DType::kI32, 1.0},
                                          {ReduceOp::kMean, DType::kF32, 0.0},
                                          {ReduceOp::kMean, DType::kI64, 0.0},
                                          {ReduceOp::kMax, DType::kF32, -INFINITY},
                                          {ReduceOp::kMin, DType::kF16, INFINITY},
                                          {ReduceOp::kMax, DType::kI32, -0x1p31},
                                          {ReduceOp::kMin, DType::kI32, 0x1p31 - 1}}) {
    KernelCase nothing;
    nothing.name = fmt::format("{}_of_nothing.{}", ReduceOpName(op), DTypeName(dtype));
    nothing.variants = ReduceVariants();
    nothing.operands = [=] {
      // A buffer cannot be empty; its contents are not read.
      const DType device = DeviceDType(caps, dtype);
      EXPECT_EQ(ReduceReference(op, dtype, {}, Dims{3, 0}, Dims{1})[2], result);
      return std::vector<Operand>{Operand::Input(device, {1, 2, 3, 4}),
                                  Operand::Output(device, {result, result, result}, 0)};
    };
    nothing.plan = [=](const Caps& on, std::string_view variant) {
      return PlanReduce(on, {op, dtype, {3, 0}, {1}}, variant);
    };
    cases.push_back(std::move(nothing));
  }
  AddCase(caps, {ReduceOp::kMean, DType::kF16, {7, 300}, {1}}, true, cases);
  // Scores of 32 heads of 512 tokens.
  AddCase(caps, {ReduceOp::kMax, DType::kF16, {32, 64, 512}, {2}}, false, cases);
  return cases;
});

TEST(Reduce, ReferenceHandlesTheEdges) {
  const std::vector<double> x = {1, 2, 3, 4, 5, 7};
  const auto reduce = [&](ReduceOp op, DType dtype, Dims axes) {
    return ReduceReference(op, dtype, x, Dims{2, 3}, axes);
  };
  EXPECT_EQ(reduce(ReduceOp::kSum, DType::kF32, {0}), (std::vector<double>{5, 7, 10}));
  EXPECT_EQ(reduce(ReduceOp::kSum, DType::kF32, {}), x);
  EXPECT_EQ(reduce(ReduceOp::kMean, DType::kI64, {1}), (std::vector<double>{2, 5}));
  EXPECT_EQ(reduce(ReduceOp::kProd, DType::kI64, {0, 1}), (std::vector<double>{840}));
  EXPECT_EQ(ReduceReference(ReduceOp::kSum, DType::kF32, {}, Dims{2, 0}, Dims{1}),
            (std::vector<double>{0, 0}));
}

TEST(Reduce, FindsOperatorsByTheirOnnxNames) {
  for (size_t i = 0; i < std::size(kOps); ++i) EXPECT_EQ(static_cast<size_t>(kOps[i]), i);
  EXPECT_EQ(ReduceOpFromName("ReduceSum"), ReduceOp::kSum);
  EXPECT_EQ(ReduceOpFromName("ReduceSumSquare"), ReduceOp::kSumSquare);
  EXPECT_EQ(ReduceOpFromName("ReduceLogSum"), std::nullopt);
}

TEST(Reduce, FoldsDimensionsAndGrids) {
  const auto params_of = [](const KernelPlan& plan) {
    ReduceParams params;
    std::memcpy(&params, plan.params.data(), sizeof params);
    return params;
  };
  const ReduceParams folded =
      params_of(PlanReduce({}, {ReduceOp::kSum, DType::kF32, {5, 7, 11, 13}, {2, 3}}));
  EXPECT_EQ(folded.kept_rank, 1u);
  EXPECT_EQ(folded.kept_sizes[0], 35);
  EXPECT_EQ(folded.kept_strides[0], 143);
  EXPECT_EQ(folded.reduced_rank, 1u);
  EXPECT_EQ(folded.reduced, 143u);
  const KernelPlan serial =
      PlanReduce({}, {ReduceOp::kSum, DType::kF32, {65535 * 256 + 1, 2}, {1}});
  EXPECT_EQ(serial.variant, "reduce.sum.f32.serial");
  EXPECT_EQ(serial.workgroups, (std::array<uint32_t, 3>{32768, 2, 1}));
  const KernelPlan tree = PlanReduce({}, {ReduceOp::kSum, DType::kF32, {65536, 1024}, {1}});
  EXPECT_EQ(tree.variant, "reduce.sum.f32.tree");
  EXPECT_EQ(tree.workgroups, (std::array<uint32_t, 3>{32768, 2, 1}));
  EXPECT_EQ(params_of(PlanReduce({}, {ReduceOp::kMax, DType::kF32, {0, 5}, {1}})).outputs, 0u);
  EXPECT_EQ(params_of(PlanReduce({}, {ReduceOp::kSum, DType::kF32, {3, 0}, {1}})).reduced, 0u);
}

TEST(Reduce, RefusesWhatItCannotDo) {
  EXPECT_THROW(PlanReduce({}, {ReduceOp::kSum, DType::kBool, {2}, {0}}), Error);
  EXPECT_THROW(PlanReduce({}, {ReduceOp::kL2, DType::kI32, {2}, {0}}), Error);
  EXPECT_THROW(PlanReduce({}, {ReduceOp::kSum, DType::kF32, {2}, {1}}), Error);
  EXPECT_THROW(PlanReduce({}, {ReduceOp::kSum, DType::kF32, {2}, {-1}}), Error);
  EXPECT_THROW(PlanReduce({}, {ReduceOp::kSum, DType::kF32, {2, 2}, {1, 1}}), Error);
  EXPECT_THROW(PlanReduce({}, {ReduceOp::kSum, DType::kF32, {2}, {0}}, "vec4"), Error);
  EXPECT_THROW(PlanReduce({}, {ReduceOp::kMax, DType::kI64, {2, 0}, {1}}), Error);
}

}  // namespace
}  // namespace sinter::kernels

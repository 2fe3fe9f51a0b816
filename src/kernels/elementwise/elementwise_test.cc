#include "kernels/elementwise/elementwise.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <set>

#include "base/error.h"
#include "kernels/common/indexing_testing.h"
#include "kernels/testing/kernel_case.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

using Dims = std::vector<int64_t>;

struct Tolerance {
  double abs = 0, rel = 0;
};

// Returns the errors that WGSL's accuracy table allows for the f32 expressions, for the inputs
// below: |x| <= 10, except for values so large that the result has saturated. One unit in the last
// place (ULP) is 2^-23 of the value.
Tolerance UnaryTolerance(UnaryOp op) {
  switch (op) {
    case UnaryOp::kAbs:
    case UnaryOp::kCeil:
    case UnaryOp::kFloor:
    case UnaryOp::kNeg:
    case UnaryOp::kNot:
    case UnaryOp::kRelu:
    case UnaryOp::kRound:
    case UnaryOp::kSign:
      return {};
    case UnaryOp::kReciprocal:
      return {0, 0x1p-21};  // 2.5 ULP
    case UnaryOp::kSqrt:
      return {0, 0x1p-20};  // 1 / inverseSqrt: 2 + 2.5 ULP
    case UnaryOp::kExp:
      return {0, 0x1p-18};  // 3 + 2 |x| ULP
    case UnaryOp::kLog:
      return {0x1p-20, 0x1p-21};  // 2^-21 between 0.5 and 2, else 3 ULP
    case UnaryOp::kCos:
    case UnaryOp::kSin:
      return {0x1p-21, 0};  // the polynomials' own 2^-24 and a few roundings
    case UnaryOp::kErf:
      return {0x1p-22, 0x1p-20};  // erf's 1.2e-7 and the error of exp
    case UnaryOp::kSigmoid:
      return {0x1p-30, 0x1p-18};  // the error of exp
    case UnaryOp::kTanh:
      return {0, 0x1p-19};  // (3 + 4 |x|) t / (1 - t) ULP, t = exp(-2 |x|) <= 0.61: below 7, and a
                            // few roundings.
    case UnaryOp::kGelu:
      return {0x1p-19, 0x1p-20};  // |x| / 2 times the error of erf, until it has saturated
    case UnaryOp::kGeluTanh:
      return {0x1p-18, 0x1p-19};  // |x| / 2 times the error of tanh and of its argument
    case UnaryOp::kQuickGelu:
    case UnaryOp::kSilu:
      return {0x1p-25, 0x1p-17};  // the error of exp at 1.702 * 10
    case UnaryOp::kSoftplus:
      return {0x1p-19, 0x1p-20};  // the errors of exp and log
  }
  return {};
}

// Adds the last rounding: f16 may round up or down, and results below its smallest normal number
// may become zero.
Tolerance AtResult(DType dtype, Tolerance tolerance) {
  if (dtype == DType::kF16) {
    tolerance.abs += 0x1p-14;
    tolerance.rel += 2 * Epsilon(DType::kF16);
  }
  return tolerance;
}

std::vector<double> UnaryInputs(UnaryOp op, DType dtype, size_t elems) {
  std::vector<double> x = RandomValues(dtype, elems, 7, 3.0);
  // Saturation, cancellation near zero, halves for rounding, and the places where erf and tanh
  // change polynomials.
  std::vector<double> special = {0,    -0.0, 1e-4,  -1e-4, 0.25,    -0.25, 0.5, -0.5, 1.5,  2.5,
                                 -2.5, 60,   -1000, 1000,  -50000., 0.93,  -1,  1,    20.0, -88};
  if (op == UnaryOp::kExp) special = {0, 10, -10, -0.5};
  for (size_t i = 0; i < special.size() && i + 3 < elems; ++i) x[i + 3] = special[i];
  for (double& value : x) {
    if (op == UnaryOp::kSqrt || op == UnaryOp::kLog) value = std::abs(value);
    if ((op == UnaryOp::kLog || op == UnaryOp::kReciprocal) && std::abs(value) < 1e-3) value = 1e-3;
    // Past 10 the error of exp exceeds the bound above.
    if (op == UnaryOp::kExp) value = std::fmax(-10, std::fmin(10, value));
    if (dtype == DType::kBool) value = value > 0;
    if (dtype == DType::kI32 || dtype == DType::kI64) value = std::round(value);
  }
  return RoundTo(dtype, std::move(x));
}

void AddUnaryCases(const Caps& caps, UnaryOp op, DType dtype, int64_t elems, bool widened,
                   std::vector<KernelCase>& cases) {
  const DType device = DeviceDType(widened ? WithoutF16(caps) : caps, dtype);
  KernelCase c;
  c.name = fmt::format("{}.n{}.{}{}", UnaryOpName(op), elems, DTypeName(dtype),
                       widened ? ".widened" : "");
  c.variants = {"vec4"};
  c.operands = [=] {
    const std::vector<double> x = UnaryInputs(op, dtype, elems);
    const Tolerance tolerance = AtResult(device, UnaryTolerance(op));
    return std::vector<Operand>{
        Operand::Input(device, x),
        Operand::Output(device, UnaryReference(op, dtype, x, 1.5), tolerance.abs, tolerance.rel)};
  };
  c.plan = [=](const Caps& on, std::string_view variant) {
    return PlanUnary(widened ? WithoutF16(on) : on,
                     {.op = op, .dtype = dtype, .elems = elems, .alpha = 1.5f}, variant);
  };
  c.bytes = elems > 100000 ? 2.0 * elems * (device == DType::kF16 ? 2 : 4) : 0;
  cases.push_back(std::move(c));
}

Tolerance BinaryTolerance(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
    case BinaryOp::kSub:
    case BinaryOp::kMul:
      return {0, 2 * Epsilon(DType::kF32)};  // "Correctly rounded" is either neighbour.
    case BinaryOp::kDiv:
      return {0, 0x1p-21};  // 2.5 ULP
    case BinaryOp::kFastGelu:
      return UnaryTolerance(UnaryOp::kGeluTanh);
    case BinaryOp::kPow:
      // pow is exp2(b * log2(a)) with |b| <= 4 and |log2(a)| <= 3: the exponent is off by 4 *
      // (2^-21 + 3 ULP of 3), exp2 by 27 ULP.
      return {0, 0x1p-16};
    default:
      return {};
  }
}

// Returns inputs of one operator for which results are exact or well conditioned.
std::vector<double> BinaryInputs(BinaryOp op, DType dtype, size_t elems, bool first) {
  std::mt19937 engine(first ? 11 : 12);
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(engine() % (high - low + 1));
  };
  std::vector<double> values(elems);
  for (double& value : values) {
    if (dtype == DType::kBool) {
      value = between(0, 1);
    } else if (!IsFloat(dtype)) {
      value = op == BinaryOp::kPow ? (first ? between(-3, 3) : between(-4, 12)) : between(-9, 9);
    } else if (op == BinaryOp::kPow) {
      // Bases and exponents are in eighths. A negative base requires an integer exponent, which the
      // caller provides.
      value = first ? between(1, 64) / 8.0 : between(-32, 32) / 8.0;
    } else if (op == BinaryOp::kFmod) {
      value = first ? between(-800, 800) / 8.0 : between(1, 40) / 8.0 * (between(0, 1) ? 1 : -1);
    } else if (op == BinaryOp::kDiv) {
      value = between(1, 1000) / 64.0 * (between(0, 1) ? 1 : -1);
    } else {
      // Quarters, so that comparisons see equal values.
      value = between(-12, 12) / 4.0;
    }
  }
  return values;
}

void AddBinaryCase(const Caps& caps, BinaryOp op, DType dtype, const Dims& a_shape,
                   const Dims& b_shape, bool widened, std::vector<KernelCase>& cases) {
  const Caps used = widened ? WithoutF16(caps) : caps;
  const DType device = DeviceDType(used, dtype);
  const DType result = DeviceDType(used, BinaryResultDType(op, dtype));
  const BinaryShape shape{op, dtype, a_shape, b_shape};
  KernelCase c;
  c.name = fmt::format("{}.{}_{}.{}{}", BinaryOpName(op), fmt::join(a_shape, "x"),
                       fmt::join(b_shape, "x"), DTypeName(dtype), widened ? ".widened" : "");
  c.variants = BinaryVariants(shape);
  c.operands = [=] {
    std::vector<double> a = BinaryInputs(op, dtype, NumElems(a_shape), true);
    std::vector<double> b = BinaryInputs(op, dtype, NumElems(b_shape), false);
    if (op == BinaryOp::kPow && IsFloat(dtype) && a.size() == b.size()) {
      for (size_t i = 0; i < a.size(); ++i) {
        if (b[i] == std::round(b[i]) && i % 2 == 0) a[i] = -a[i];
      }
    }
    const Tolerance tolerance = AtResult(result, BinaryTolerance(op));
    return std::vector<Operand>{
        Operand::Input(device, a), Operand::Input(device, b),
        Operand::Output(result, BinaryReference(op, dtype, a, a_shape, b, b_shape), tolerance.abs,
                        tolerance.rel)};
  };
  c.plan = [=](const Caps& on, std::string_view variant) {
    return PlanBinary(widened ? WithoutF16(on) : on, shape, variant);
  };
  const double elems = static_cast<double>(NumElems(BroadcastShape(a_shape, b_shape)));
  const double item = device == DType::kF16 ? 2 : 4;
  c.bytes = elems > 100000 ? item * (elems + NumElems(a_shape) + NumElems(b_shape)) : 0;
  cases.push_back(std::move(c));
}

const bool kUnaryRegistered = RegisterKernelCases("elementwise_unary", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  for (const UnaryOp op : AllUnaryOps()) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kI32, DType::kBool}) {
      if (UnaryOpTakes(op, dtype)) AddUnaryCases(caps, op, dtype, 5 * 7 * 11 * 13, false, cases);
    }
  }
  for (const int64_t elems : {1, 3, 1024, 1025})
    AddUnaryCases(caps, UnaryOp::kSilu, DType::kF16, elems, false, cases);
  AddUnaryCases(caps, UnaryOp::kNeg, DType::kI64, 5, false, cases);
  AddUnaryCases(caps, UnaryOp::kGelu, DType::kF16, 5 * 7 * 11 * 13, true, cases);
  AddUnaryCases(caps, UnaryOp::kAbs, DType::kF32, 5005, false, cases);
  cases.back() = WithFoldedGrid(cases.back(), 3);
  // The gate of Qwen3-1.7B over a 512-token prefill.
  AddUnaryCases(caps, UnaryOp::kSilu, DType::kF16, 512 * 6144, false, cases);
  return cases;
});

const bool kBinaryRegistered = RegisterKernelCases("elementwise_binary", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const Dims odd = {5, 7, 11, 13};
  for (const BinaryOp op : AllBinaryOps()) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kI32, DType::kBool}) {
      if (BinaryOpTakes(op, dtype)) AddBinaryCase(caps, op, dtype, odd, odd, false, cases);
    }
  }
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI64}) {
    AddBinaryCase(caps, BinaryOp::kMul, dtype, {}, {}, false, cases);
    AddBinaryCase(caps, BinaryOp::kMul, dtype, {3}, {1}, false, cases);
    AddBinaryCase(caps, BinaryOp::kSub, dtype, odd, {}, false, cases);
    AddBinaryCase(caps, BinaryOp::kSub, dtype, {}, odd, false, cases);
    AddBinaryCase(caps, BinaryOp::kSub, dtype, {33, 64}, {64}, false, cases);
    AddBinaryCase(caps, BinaryOp::kSub, dtype, {33, 1}, {33, 64}, false, cases);
    AddBinaryCase(caps, BinaryOp::kSub, dtype, {7, 1}, {1, 9}, false, cases);
    AddBinaryCase(caps, BinaryOp::kSub, dtype, {2, 1, 3, 1, 2, 1, 5, 1}, {1, 2, 1, 3, 1, 2, 1, 3},
                  false, cases);
  }
  AddBinaryCase(caps, BinaryOp::kSub, DType::kF32, odd, {13}, false, cases);
  cases.back() = WithFoldedGrid(cases.back(), 6);
  AddBinaryCase(caps, BinaryOp::kAdd, DType::kF16, odd, odd, true, cases);
  AddBinaryCase(caps, BinaryOp::kFastGelu, DType::kF16, {17, 3072}, {3072}, false, cases);
  // The residual and a per-feature scale of Qwen3-1.7B over a 512-token prefill.
  AddBinaryCase(caps, BinaryOp::kAdd, DType::kF16, {512, 2048}, {512, 2048}, false, cases);
  AddBinaryCase(caps, BinaryOp::kMul, DType::kF16, {512, 2048}, {2048}, false, cases);
  return cases;
});

std::vector<double> RunBinary(const BinaryShape& shape, std::string_view variant,
                              std::span<const double> a, std::span<const double> b) {
  gpu::Device& device = TestDevice();
  const DType in = DeviceDType(device.caps(), shape.dtype);
  const DType in_b = DeviceDType(device.caps(), shape.exponent_dtype.value_or(shape.dtype));
  const DType out = DeviceDType(device.caps(), BinaryResultDType(shape.op, shape.dtype));
  const size_t elems = NumElems(BroadcastShape(shape.a, shape.b));
  const std::vector<Operand> operands = {Operand::Input(in, {a.begin(), a.end()}),
                                         Operand::Input(in_b, {b.begin(), b.end()}),
                                         Operand::Output(out, std::vector<double>(elems), 0)};
  return DecodeElements(
      out, RunPlan(device, PlanBinary(device.caps(), shape, variant), operands)[2], elems);
}

TEST(Elementwise, BroadcastsAnyShapes) {
  std::mt19937 engine(3);
  const int64_t sizes[] = {1, 2, 3, 4, 8};
  for (int round = 0; round < 150; ++round) {
    // Dimensions of the result. Each operand drops leading dimensions and sets others to 1.
    Dims a, b;
    int64_t elems = 1;
    for (size_t rank = engine() % 9; rank > 0; --rank) {
      const int64_t size = elems > 20000 ? 1 : sizes[engine() % 5];
      elems *= size;
      const auto keep = engine() % 4;
      a.push_back(keep == 1 ? 1 : size);
      b.push_back(keep == 2 ? 1 : size);
    }
    Dims& shorter = engine() % 2 == 0 ? a : b;
    shorter.erase(shorter.begin(), shorter.begin() + engine() % (shorter.size() + 1));
    const DType dtype = std::array{DType::kF32, DType::kF16, DType::kI32}[engine() % 3];
    const BinaryShape shape{BinaryOp::kSub, dtype, a, b};
    // Integers up to 2048 and differences up to 2048 are exact in f16.
    std::vector<double> a_values(NumElems(a)), b_values(NumElems(b));
    for (double& value : a_values) value = engine() % 1024;
    for (double& value : b_values) value = engine() % 1024;
    const std::vector<double> expected = BinaryReference(shape.op, dtype, a_values, a, b_values, b);
    for (const std::string& variant : BinaryVariants(shape)) {
      EXPECT_EQ(RunBinary(shape, variant, a_values, b_values), expected) << fmt::format(
          "[{}] - [{}], {}, {}", fmt::join(a, ", "), fmt::join(b, ", "), DTypeName(dtype), variant);
    }
  }
}

// A base of any type takes an exponent of any type.
TEST(Elementwise, RaisesToExponentsOfAnotherType) {
  constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kI32, DType::kI64};
  for (const DType base : kTypes) {
    for (const DType exponent : kTypes) {
      if (base == exponent) continue;
      std::vector<double> a, b;
      for (const double x : {-3., -2., -1., 0., 1., 2., 3., 10.}) {
        for (const double n : {0., 1., 2., 3., 4., 5.}) {
          a.push_back(x == 0 ? 7 : x);
          b.push_back(n);
        }
      }
      // The whole part of a root, of exact powers too.
      for (const double x : {4., 8., 9., 16., 17., 27., 1000., 1024.}) {
        for (const double n : {0.5, 0.25, 1.5, -0.5}) {
          a.push_back(x);
          b.push_back(IsFloat(exponent) ? n : 2);
        }
      }
      const auto elems = static_cast<int64_t>(a.size());
      const BinaryShape shape{BinaryOp::kPow, base, {elems}, {elems}, exponent};
      const std::vector<double> want =
          BinaryReference(BinaryOp::kPow, base, a, shape.a, b, shape.b);
      for (const char* variant : {"vec4", "strided"}) {
        const std::vector<double> got = RunBinary(shape, variant, a, b);
        for (size_t i = 0; i < a.size(); ++i) {
          const double tolerance =
              !IsFloat(base) ? 0 : std::abs(want[i]) * (base == DType::kF16 ? 0x1p-9 : 0x1p-16);
          if (base == DType::kF16 && std::abs(want[i]) > 65504) continue;
          EXPECT_NEAR(got[i], want[i], tolerance) << fmt::format(
              "{} {}^{} {} {}", DTypeName(base), a[i], DTypeName(exponent), b[i], variant);
        }
      }
    }
  }
  // Zero, infinity and NaN as either operand.
  const std::vector<double> special = {0,   -0.0, 1,    -1,       0.25,      -2.5, 2,   -3,
                                       0.5, -1,   -0.5, INFINITY, -INFINITY, NAN,  1.5, 1e9};
  std::vector<double> bases, exponents;
  for (const double base : special) {
    for (const double exponent : special) {
      bases.push_back(base);
      exponents.push_back(exponent);
    }
  }
  const auto count = static_cast<int64_t>(bases.size());
  const std::vector<double> powers =
      RunBinary({BinaryOp::kPow, DType::kF32, {count}, {count}}, "", bases, exponents);
  for (size_t i = 0; i < powers.size(); ++i) {
    const double power = std::pow(bases[i], exponents[i]);
    if (std::isfinite(power)) {
      EXPECT_NEAR(powers[i], power, std::abs(power) * 0x1p-16) << bases[i] << "^" << exponents[i];
    } else {
      EXPECT_TRUE(powers[i] == power || (std::isnan(powers[i]) && std::isnan(power)))
          << bases[i] << "^" << exponents[i] << ": got " << powers[i] << ", want " << power;
    }
  }
  const BinaryShape scalar{BinaryOp::kPow, DType::kF32, {2, 4}, {}, DType::kI64};
  const std::vector<double> a = {1, 2, 3, 4, 5, 6, 7, 8}, b = {2};
  EXPECT_EQ(RunBinary(scalar, "", a, b), (std::vector<double>{1, 4, 9, 16, 25, 36, 49, 64}));
  EXPECT_EQ(BinaryReference(BinaryOp::kPow, DType::kI64, std::vector<double>{27, 26, -8}, Dims{3},
                            std::vector<double>{1.0 / 3, 0.5, 0.5}, Dims{3}),
            (std::vector<double>{3, 5, 0}));
}

// As ONNX Runtime's CPU provider does, Max, Min and Relu give NaN for NaN.
TEST(Elementwise, DividesByHugeNumbers) {
  const std::vector<double> a = {3e38, -0x1p127, 0x1.8p126, INFINITY, 1e30, 3e38};
  const std::vector<double> b = {3e38, 0x1p126, 0x1p127, 3e38, -INFINITY, 0};
  EXPECT_EQ(RunBinary({BinaryOp::kDiv, DType::kF32, {6}, {6}}, "", a, b),
            (std::vector<double>{1, -2, 0.75, INFINITY, 0, INFINITY}));
}

TEST(Elementwise, KeepsNan) {
  const std::vector<double> a = {NAN, 1, NAN, 1, -1, INFINITY, -INFINITY, NAN},
                            b = {1, NAN, NAN, 2, -2, NAN, NAN, -INFINITY};
  const auto same = [](const std::vector<double>& got, const std::vector<double>& want) {
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_TRUE(got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i])))
          << i << ": got " << got[i] << ", want " << want[i];
    }
  };
  const std::vector<double> max = {NAN, NAN, NAN, 2, -1, NAN, NAN, NAN},
                            min = {NAN, NAN, NAN, 1, -2, NAN, NAN, NAN},
                            relu = {NAN, 1, NAN, 1, 0, INFINITY, 0, NAN};
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const char* variant : {"vec4", "strided"}) {
      same(RunBinary({BinaryOp::kMax, dtype, {8}, {8}}, variant, a, b), max);
      same(RunBinary({BinaryOp::kMin, dtype, {8}, {8}}, variant, a, b), min);
    }
    gpu::Device& device = TestDevice();
    const DType type = DeviceDType(device.caps(), dtype);
    const std::vector<Operand> operands = {Operand::Input(type, a),
                                           Operand::Output(type, std::vector<double>(8), 0)};
    const KernelPlan plan = PlanUnary(device.caps(), {UnaryOp::kRelu, dtype, 8});
    same(DecodeElements(type, RunPlan(device, plan, operands)[1], 8), relu);
    same(BinaryReference(BinaryOp::kMax, dtype, a, Dims{8}, b, Dims{8}), max);
    same(BinaryReference(BinaryOp::kMin, dtype, a, Dims{8}, b, Dims{8}), min);
    same(UnaryReference(UnaryOp::kRelu, dtype, a), relu);
  }
}

TEST(Elementwise, ReferenceComputesDoubles) {
  EXPECT_EQ(BinaryReferenceValue(BinaryOp::kMax, DType::kF64, 1e300, 2), 1e300);
  EXPECT_EQ(UnaryReferenceValue(UnaryOp::kNeg, DType::kF64, 1e300, 0), -1e300);
}

TEST(Elementwise, SurvivesIntegerOverflowInDivision) {
  const double least = std::numeric_limits<int32_t>::min();
  const std::vector<double> a = {least, least, 7, -7, 7, -7}, b = {-1, 0, 2, 2, -2, 0};
  const auto run = [&](BinaryOp op) { return RunBinary({op, DType::kI32, {6}, {6}}, "", a, b); };
  EXPECT_EQ(run(BinaryOp::kDiv), (std::vector<double>{least, 0, 3, -3, -3, 0}));
  EXPECT_EQ(run(BinaryOp::kFmod), (std::vector<double>{0, 0, 1, -1, 1, 0}));
  EXPECT_EQ(run(BinaryOp::kMod), (std::vector<double>{0, 0, 1, 1, -1, 0}));
}

// Results of int64 that need more than 32 bits are noted, and only those.
TEST(Elementwise, NotesResultsBeyond32Bits) {
  gpu::Device& device = TestDevice();
  std::mt19937 engine(5);
  const double least = std::numeric_limits<int32_t>::min(), most = -1 - least;
  std::vector<std::pair<double, double>> pairs;
  for (const double a : {least, least + 1, -65536.0, -46341.0, -1.0, 0.0, 1.0, 2.0, 46340.0,
                         46341.0, 65536.0, most - 1, most}) {
    for (const double b : {least, -65536.0, -46341.0, -2.0, -1.0, 0.0, 1.0, 2.0, 31.0, 46340.0,
                           46341.0, 65536.0, most})
      pairs.emplace_back(a, b);
  }
  for (int i = 0; i < 100; ++i) {
    const double a = static_cast<int32_t>(engine()), b = static_cast<int32_t>(engine());
    pairs.emplace_back(a, b);
    pairs.emplace_back(static_cast<int32_t>(engine()) >> 16, static_cast<int32_t>(engine()) >> 15);
  }
  for (const BinaryOp op : {BinaryOp::kAdd, BinaryOp::kSub, BinaryOp::kMul, BinaryOp::kPow}) {
    EXPECT_TRUE(MayLeaveRange(op));
    for (const auto& [a, b] : pairs) {
      if (op == BinaryOp::kPow && b > 40 && std::abs(a) > 1) continue;
      const std::vector<double> as = {1, a, 0}, bs = {1, b, 0};
      const double want = op == BinaryOp::kPow   ? (b < 0 ? 0 : std::pow(a, b))
                          : op == BinaryOp::kMul ? a * b
                          : op == BinaryOp::kAdd ? a + b
                                                 : a - b;
      const bool fits = want >= least && want <= most;
      Operand faults = Operand::Output(DType::kU32, {0}, 0);
      faults.values = {3};
      const std::vector<Operand> operands = {
          Operand::Input(DType::kI32, as), Operand::Input(DType::kI32, bs),
          Operand::Output(DType::kI32, std::vector<double>(3), 0), std::move(faults)};
      const KernelPlan plan =
          PlanBinary(device.caps(), {op, DType::kI64, {3}, {3}, std::nullopt, 7});
      const auto buffers = RunPlan(device, plan, operands);
      EXPECT_EQ(DecodeElements(DType::kU32, buffers[3], 1)[0], fits ? 3 : 7)
          << fmt::format("{} {} {}", a, BinaryOpName(op), b);
      if (fits && op != BinaryOp::kPow) {
        EXPECT_EQ(DecodeElements(DType::kI32, buffers[2], 3)[1], want);
      }
    }
  }
  EXPECT_FALSE(MayLeaveRange(BinaryOp::kMax));
}

TEST(Elementwise, HasATableInTheOrderOfTheOperators) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < AllUnaryOps().size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(AllUnaryOps()[i]), i);
    EXPECT_TRUE(names.insert(UnaryOpName(AllUnaryOps()[i])).second);
  }
  for (size_t i = 0; i < AllBinaryOps().size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(AllBinaryOps()[i]), i);
    EXPECT_TRUE(names.insert(BinaryOpName(AllBinaryOps()[i])).second);
  }
}

TEST(Elementwise, FindsOperatorsByTheirOnnxNames) {
  EXPECT_EQ(UnaryOpFromName("Sigmoid"), UnaryOp::kSigmoid);
  EXPECT_EQ(UnaryOpFromName("FastGelu"), UnaryOp::kGeluTanh);
  EXPECT_EQ(UnaryOpFromName("Add"), std::nullopt);
  EXPECT_EQ(BinaryOpFromName("GreaterOrEqual"), BinaryOp::kGreaterOrEqual);
  EXPECT_EQ(BinaryOpFromName("FastGelu"), BinaryOp::kFastGelu);
  EXPECT_EQ(BinaryOpFromName(""), std::nullopt);
  EXPECT_EQ(BinaryOpFromName("Neg"), std::nullopt);
  EXPECT_EQ(BinaryResultDType(BinaryOp::kLess, DType::kF16), DType::kBool);
  EXPECT_EQ(BinaryResultDType(BinaryOp::kPow, DType::kF16), DType::kF16);
}

TEST(Elementwise, PicksTheVectorsWhereTheyFit) {
  const auto variants = [](const Dims& a, const Dims& b) {
    return BinaryVariants({BinaryOp::kAdd, DType::kF32, a, b}).front();
  };
  EXPECT_EQ(variants({5, 7}, {5, 7}), "vec4");
  EXPECT_EQ(variants({5, 7}, {}), "vec4");
  EXPECT_EQ(variants({}, {}), "vec4");
  EXPECT_EQ(variants({5, 8}, {8}), "vec4");
  EXPECT_EQ(variants({5, 8}, {5, 1}), "vec4");
  EXPECT_EQ(variants({5, 7}, {7}), "strided");
  EXPECT_EQ(variants({5, 7}, {5, 1}), "strided");
}

TEST(Elementwise, FoldsGridsPastOneDimension) {
  const Caps caps;
  const int64_t elems = int64_t{65535} * 256 * 4 + 1;
  const KernelPlan unary = PlanUnary(caps, {UnaryOp::kAbs, DType::kF32, elems});
  EXPECT_EQ(unary.workgroups, (std::array<uint32_t, 3>{32768, 2, 1}));
  UnaryParams unary_params;
  std::memcpy(&unary_params, unary.params.data(), sizeof unary_params);
  EXPECT_EQ(unary_params.elems, elems);
  EXPECT_EQ(unary_params.grid_x, 32768u);
  const KernelPlan binary =
      PlanBinary(caps, {BinaryOp::kAdd, DType::kF32, {65535 * 256 + 1}, {1}}, "strided");
  EXPECT_EQ(binary.workgroups, (std::array<uint32_t, 3>{32768, 2, 1}));
  BinaryParams params;
  std::memcpy(&params, binary.params.data(), sizeof params);
  EXPECT_EQ(params.threads, 65535u * 256 + 1);
  EXPECT_EQ(params.rank, 1u);
  EXPECT_EQ(params.a_strides[0], 1);
  EXPECT_EQ(params.b_strides[0], 0);
}

TEST(Elementwise, HasNoWorkForEmptyTensors) {
  UnaryParams unary;
  std::memcpy(&unary, PlanUnary({}, {UnaryOp::kAbs, DType::kF32, 0}).params.data(), sizeof unary);
  EXPECT_EQ(unary.elems, 0u);
  BinaryParams binary;
  std::memcpy(&binary, PlanBinary({}, {BinaryOp::kAdd, DType::kF32, {3, 0}, {1}}).params.data(),
              sizeof binary);
  EXPECT_EQ(binary.threads, 0u);
}

TEST(Elementwise, RefusesWhatItCannotDo) {
  EXPECT_THROW(PlanUnary({}, {UnaryOp::kNot, DType::kF32, 4}), Error);
  EXPECT_THROW(PlanUnary({}, {UnaryOp::kExp, DType::kI32, 4}), Error);
  EXPECT_THROW(PlanUnary({}, {UnaryOp::kAbs, DType::kU8, 4}), Error);
  EXPECT_THROW(PlanUnary({}, {UnaryOp::kAbs, DType::kF32, 4}, "strided"), Error);
  EXPECT_THROW(PlanBinary({}, {BinaryOp::kAdd, DType::kBool, {4}, {4}}), Error);
  EXPECT_THROW(PlanBinary({}, {BinaryOp::kAdd, DType::kF32, {4}, {3}}), Error);
  EXPECT_THROW(PlanBinary({}, {BinaryOp::kAdd, DType::kF32, {2, 3}, {3}}, "vec4"), Error);
  EXPECT_THROW(PlanBinary({}, {BinaryOp::kAdd, DType::kF32, {1 << 20, 1}, {1, 1 << 20}}), Error);
  const Dims a = {2, 1, 2, 1, 2, 1, 2, 1, 2}, b = {1, 2, 1, 2, 1, 2, 1, 2, 1};
  EXPECT_THROW(PlanBinary({}, {BinaryOp::kAdd, DType::kF32, a, b}), Error);
}

}  // namespace
}  // namespace sinter::kernels

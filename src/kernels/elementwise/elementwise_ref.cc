#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/elementwise/elementwise.h"

namespace sinter::kernels {
namespace {

double GeluTanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

double Sigmoid(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

// Returns the type whose operators handle elements of `dtype`: those of f64 are f32's.
DType OperatorDType(DType dtype) { return dtype == DType::kF64 ? DType::kF32 : dtype; }

// The largest int64 becomes 2^63 as a double, which does not convert back.
int64_t ToInt64(double x) {
  if (std::isnan(x)) return 0;
  if (x >= 0x1p63) return std::numeric_limits<int64_t>::max();
  return x < -0x1p63 ? std::numeric_limits<int64_t>::min() : static_cast<int64_t>(x);
}

// Computes integer operators on exact 64-bit integers, which wrap on overflow.
int64_t IntegerPow(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 != 0 ? -1 : 1) : 0;
  uint64_t result = 1, base = static_cast<uint64_t>(a);
  for (; b != 0; b >>= 1, base *= base) {
    if (b & 1) result *= base;
  }
  return static_cast<int64_t>(result);
}

int64_t IntegerDiv(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return static_cast<int64_t>(0 - static_cast<uint64_t>(a));
  return a / b;
}

int64_t IntegerMod(int64_t a, int64_t b, bool sign_of_b) {
  if (b == 0 || b == -1) return 0;
  const int64_t r = a % b;
  return sign_of_b && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

}  // namespace

double UnaryReferenceValue(UnaryOp op, DType dtype, double x, double alpha) {
  SINTER_CHECK(UnaryOpTakes(op, OperatorDType(dtype)), "{} of {}", UnaryOpName(op),
               DTypeName(dtype));
  switch (op) {
    case UnaryOp::kAbs:
      return std::fabs(x);
    case UnaryOp::kCeil:
      return std::ceil(x);
    case UnaryOp::kCos:
      return std::cos(x);
    case UnaryOp::kErf:
      return std::erf(x);
    case UnaryOp::kExp:
      return std::exp(x);
    case UnaryOp::kFloor:
      return std::floor(x);
    case UnaryOp::kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case UnaryOp::kGeluTanh:
      return GeluTanh(x);
    case UnaryOp::kLog:
      return std::log(x);
    case UnaryOp::kNeg:
      return -x;
    case UnaryOp::kNot:
      return x == 0;
    case UnaryOp::kQuickGelu:
      return x * Sigmoid(alpha * x);
    case UnaryOp::kReciprocal:
      return 1 / x;
    case UnaryOp::kRelu:
      return x < 0 ? 0 : x;
    case UnaryOp::kRound:
      return std::nearbyint(x);
    case UnaryOp::kSigmoid:
      return Sigmoid(x);
    case UnaryOp::kSign:
      return (x > 0) - (x < 0);
    case UnaryOp::kSilu:
      return x * Sigmoid(x);
    case UnaryOp::kSin:
      return std::sin(x);
    case UnaryOp::kSoftplus:
      return std::fmax(x, 0) + std::log1p(std::exp(-std::fabs(x)));
    case UnaryOp::kSqrt:
      return std::sqrt(x);
    case UnaryOp::kTanh:
      return std::tanh(x);
  }
  FailCheck(__FILE__, __LINE__, "the operator is known");
}

double BinaryReferenceValue(BinaryOp op, DType dtype, double a, double b) {
  SINTER_CHECK(BinaryOpTakes(op, OperatorDType(dtype)), "{} of {}", BinaryOpName(op),
               DTypeName(dtype));
  const bool integer = !IsFloat(dtype);
  const int64_t int_a = integer ? ToInt64(a) : 0, int_b = integer ? ToInt64(b) : 0;
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kAnd:
      return a != 0 && b != 0;
    case BinaryOp::kDiv:
      return integer ? static_cast<double>(IntegerDiv(int_a, int_b)) : a / b;
    case BinaryOp::kEqual:
      return a == b;
    case BinaryOp::kFastGelu:
      return GeluTanh(a + b);
    case BinaryOp::kFmod:
      return integer ? static_cast<double>(IntegerMod(int_a, int_b, false)) : std::fmod(a, b);
    case BinaryOp::kGreater:
      return a > b;
    case BinaryOp::kGreaterOrEqual:
      return a >= b;
    case BinaryOp::kLess:
      return a < b;
    case BinaryOp::kLessOrEqual:
      return a <= b;
    case BinaryOp::kMax:
      return std::isnan(a) || std::isnan(b) ? a + b : std::max(a, b);
    case BinaryOp::kMin:
      return std::isnan(a) || std::isnan(b) ? a + b : std::min(a, b);
    case BinaryOp::kMod:
      return static_cast<double>(IntegerMod(int_a, int_b, true));
    case BinaryOp::kMul:
      return a * b;
    case BinaryOp::kOr:
      return a != 0 || b != 0;
    case BinaryOp::kPow:
      if (!integer) return std::pow(a, b);
      // The exponent may be a float.
      return b == std::floor(b) ? static_cast<double>(IntegerPow(int_a, int_b))
                                : static_cast<double>(ToInt64(std::pow(a, b)));
    case BinaryOp::kSub:
      return a - b;
    case BinaryOp::kXor:
      return (a != 0) != (b != 0);
  }
  FailCheck(__FILE__, __LINE__, "the operator is known");
}

std::vector<double> UnaryReference(UnaryOp op, DType dtype, std::span<const double> x,
                                   double alpha) {
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = UnaryReferenceValue(op, dtype, x[i], alpha);
  return y;
}

std::vector<double> BinaryReference(BinaryOp op, DType dtype, std::span<const double> a,
                                    std::span<const int64_t> a_shape, std::span<const double> b,
                                    std::span<const int64_t> b_shape) {
  const std::vector<int64_t> y_shape = BroadcastShape(a_shape, b_shape);
  SINTER_CHECK(a.size() == static_cast<size_t>(NumElems(a_shape)) &&
               b.size() == static_cast<size_t>(NumElems(b_shape)));
  std::vector<double> y;
  y.reserve(NumElems(y_shape));
  ForEachOffset({y_shape, {BroadcastStrides(a_shape, y_shape), BroadcastStrides(b_shape, y_shape)}},
                [&](std::span<const int64_t> at) {
                  y.push_back(BinaryReferenceValue(op, dtype, a[at[0]], b[at[1]]));
                });
  return y;
}

}  // namespace sinter::kernels

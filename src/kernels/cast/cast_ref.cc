#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "base/check.h"
#include "base/half.h"
#include "kernels/cast/cast.h"

namespace sinter::kernels {
namespace {

struct IntegerRange {
  double low, high;
};

IntegerRange Signed(int bits) {
  const double end = std::ldexp(1.0, bits - 1);
  return {-end, end - 1};
}

IntegerRange Unsigned(int bits) { return {0, std::ldexp(1.0, bits) - 1}; }

std::optional<IntegerRange> RangeOf(DType dtype) {
  switch (dtype) {
    case DType::kI8:
      return Signed(8);
    case DType::kI16:
      return Signed(16);
    case DType::kI32:
      return Signed(32);
    case DType::kI64:
      return Signed(64);
    case DType::kU8:
      return Unsigned(8);
    case DType::kU16:
      return Unsigned(16);
    case DType::kU32:
      return Unsigned(32);
    case DType::kU64:
      return Unsigned(64);
    default:
      return std::nullopt;
  }
}

// Returns x truncated towards zero and clamped to the range.
double ToInteger(double x, const IntegerRange& range) {
  return std::isnan(x) ? 0 : std::clamp(std::trunc(x), range.low, range.high);
}

double CastValue(DType to, double x) {
  switch (to) {
    case DType::kF64:
      return x;
    case DType::kF32:
      return static_cast<float>(x);
    case DType::kF16:
      return HalfToFloat(DoubleToHalf(x));
    case DType::kBF16:
      return BFloat16ToFloat(DoubleToBFloat16(x));
    case DType::kBool:
      return x != 0;
    default:
      if (const auto range = RangeOf(to)) return ToInteger(x, *range);
      FailCheck(__FILE__, __LINE__, "the type is one that Cast takes", std::string(DTypeName(to)));
  }
}

}  // namespace

std::vector<double> CastReference(DType to, std::span<const double> x) {
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = CastValue(to, x[i]);
  return y;
}

std::vector<double> CastIntegerReference(DType to, std::span<const double> x) {
  const auto range = RangeOf(to);
  if (!range) return CastReference(to, x);
  const double count = range->high - range->low + 1;
  std::vector<double> y(x.begin(), x.end());
  for (double& value : y) {
    if (value < range->low || value > range->high)
      value -= std::floor((value - range->low) / count) * count;
  }
  return y;
}

}  // namespace sinter::kernels

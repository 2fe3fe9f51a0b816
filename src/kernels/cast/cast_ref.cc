#include <cmath>
#include <string>

#include "base/check.h"
#include "base/half.h"
#include "kernels/cast/cast.h"

namespace sinter::kernels {
namespace {

// Returns x truncated towards zero and clamped to [-2^(bits - 1), 2^(bits - 1) - 1].
double ToInteger(double x, int bits) {
  if (std::isnan(x)) return 0;
  const double end = std::ldexp(1.0, bits - 1);
  const double cut = std::trunc(x);
  if (cut < -end) return -end;
  return cut > end - 1 ? end - 1 : cut;
}

double CastValue(DType to, double x) {
  switch (to) {
    case DType::kF64:
      return x;
    case DType::kF32:
      return static_cast<float>(x);
    case DType::kF16:
      return HalfToFloat(DoubleToHalf(x));
    case DType::kI32:
      return ToInteger(x, 32);
    case DType::kI64:
      return ToInteger(x, 64);
    case DType::kBool:
      return x != 0;
    default:
      FailCheck(__FILE__, __LINE__, "the type is one that Cast takes", std::string(DTypeName(to)));
  }
}

}  // namespace

std::vector<double> CastReference(DType to, std::span<const double> x) {
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = CastValue(to, x[i]);
  return y;
}

}  // namespace sinter::kernels

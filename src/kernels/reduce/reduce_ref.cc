#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernels/reduce/reduce.h"

namespace sinter::kernels {
namespace {

double Combine(ReduceOp op, double a, double x) {
  switch (op) {
    case ReduceOp::kL2:
    case ReduceOp::kSumSquare:
      return a + x * x;
    case ReduceOp::kMax:
      return std::isnan(a) || std::isnan(x) ? a + x : std::max(a, x);
    case ReduceOp::kMin:
      return std::isnan(a) || std::isnan(x) ? a + x : std::min(a, x);
    case ReduceOp::kProd:
      return a * x;
    case ReduceOp::kMean:
    case ReduceOp::kSum:
      return a + x;
  }
  FailCheck(__FILE__, __LINE__, "the operator is known");
}

double Identity(ReduceOp op, DType dtype) {
  const double largest = IsFloat(dtype)         ? INFINITY
                         : dtype == DType::kI64 ? static_cast<double>(INT64_MAX)
                                                : static_cast<double>(INT32_MAX);
  switch (op) {
    case ReduceOp::kMax:
      return IsFloat(dtype) ? -INFINITY : -largest - 1;
    case ReduceOp::kMin:
      return largest;
    case ReduceOp::kProd:
      return 1;
    default:
      return 0;
  }
}

}  // namespace

std::vector<double> ReduceReference(ReduceOp op, DType dtype, std::span<const double> x,
                                    std::span<const int64_t> shape, std::span<const int64_t> axes) {
  SINTER_CHECK(x.size() == static_cast<size_t>(NumElems(shape)));
  // Strides of y over the shape of x: 0 along the reduced axes.
  std::vector<int64_t> y_strides(shape.size(), 0);
  int64_t outputs = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(d)) != axes.end()) continue;
    y_strides[d] = outputs;
    outputs *= shape[d];
  }
  std::vector<double> y(outputs, Identity(op, dtype));
  ForEachOffset({{shape.begin(), shape.end()}, {RowMajorStrides(shape), y_strides}},
                [&](std::span<const int64_t> at) { y[at[1]] = Combine(op, y[at[1]], x[at[0]]); });
  if (op == ReduceOp::kMean && outputs > 0) {
    const double count =
        std::max(1.0, static_cast<double>(x.size()) / static_cast<double>(outputs));
    for (double& value : y) value = IsFloat(dtype) ? value / count : std::trunc(value / count);
  }
  if (op == ReduceOp::kL2) {
    for (double& value : y) value = std::sqrt(value);
  }
  return y;
}

}  // namespace sinter::kernels

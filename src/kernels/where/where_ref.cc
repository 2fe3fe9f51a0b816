#include "base/check.h"
#include "kernels/where/where.h"

namespace sinter::kernels {

std::vector<double> WhereReference(std::span<const double> condition,
                                   std::span<const int64_t> condition_shape,
                                   std::span<const double> a, std::span<const int64_t> a_shape,
                                   std::span<const double> b, std::span<const int64_t> b_shape) {
  const std::vector<int64_t> y_shape =
      BroadcastShape(BroadcastShape(condition_shape, a_shape), b_shape);
  SINTER_CHECK(condition.size() == static_cast<size_t>(NumElems(condition_shape)) &&
               a.size() == static_cast<size_t>(NumElems(a_shape)) &&
               b.size() == static_cast<size_t>(NumElems(b_shape)));
  std::vector<double> y;
  y.reserve(NumElems(y_shape));
  ForEachOffset({y_shape,
                 {BroadcastStrides(condition_shape, y_shape), BroadcastStrides(a_shape, y_shape),
                  BroadcastStrides(b_shape, y_shape)}},
                [&](std::span<const int64_t> at) {
                  y.push_back(condition[at[0]] != 0 ? a[at[1]] : b[at[2]]);
                });
  return y;
}

}  // namespace sinter::kernels

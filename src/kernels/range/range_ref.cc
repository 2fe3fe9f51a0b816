#include "kernels/range/range.h"

namespace sinter::kernels {

std::vector<double> RangeReference(double start, double delta, int64_t elems) {
  std::vector<double> y(elems, start);
  if (delta == 0) return y;
  for (int64_t i = 0; i < elems; ++i) y[i] = start + static_cast<double>(i) * delta;
  return y;
}

}  // namespace sinter::kernels

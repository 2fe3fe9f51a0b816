#include "base/check.h"
#include "kernels/strided_copy/strided_copy.h"

namespace sinter::kernels {

void StridedCopyReference(const StridedCopyShape& shape, std::span<const double> x,
                          std::span<double> y) {
  const auto x_elems = static_cast<int64_t>(x.size()), y_elems = static_cast<int64_t>(y.size());
  ForEachOffset({shape.sizes, {shape.x_strides, shape.y_strides}},
                [&](std::span<const int64_t> at) {
                  const int64_t from = shape.x_offset + at[0], to = shape.y_offset + at[1];
                  SINTER_CHECK(from >= 0 && from < x_elems && to >= 0 && to < y_elems,
                               "{} of {} to {} of {}", from, x_elems, to, y_elems);
                  y[to] = x[from];
                });
}

}  // namespace sinter::kernels

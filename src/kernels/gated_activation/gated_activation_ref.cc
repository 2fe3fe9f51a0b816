#include "base/check.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/gated_activation/gated_activation.h"

namespace sinter::kernels {

std::vector<double> GatedActivationReference(const GatedActivationShape& shape,
                                             std::span<const double> x) {
  const size_t cols = shape.cols;
  SINTER_CHECK(x.size() == size_t{shape.rows} * 2 * cols);
  UnaryOp op = UnaryOp::kSilu;
  if (shape.activation == GatedActivation::kGelu) op = UnaryOp::kGelu;
  if (shape.activation == GatedActivation::kGeluTanh) op = UnaryOp::kGeluTanh;
  std::vector<double> y(size_t{shape.rows} * cols);
  for (size_t r = 0; r < shape.rows; ++r) {
    for (size_t i = 0; i < cols; ++i) {
      const double gate = x[r * 2 * cols + i];
      y[r * cols + i] =
          UnaryReferenceValue(op, shape.dtype, gate, 1.0) * x[r * 2 * cols + cols + i];
    }
  }
  return y;
}

}  // namespace sinter::kernels

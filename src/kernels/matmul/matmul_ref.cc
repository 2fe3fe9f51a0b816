// Naive MatMul in double.

#include "base/check.h"
#include "kernels/matmul/matmul.h"

namespace sinter::kernels {

std::vector<double> MatMulReference(const MatMulShape& shape, std::span<const double> a,
                                    std::span<const double> b) {
  const std::vector<uint32_t> batch = MatMulBatch(shape);
  size_t matrices = 1;
  for (const uint32_t size : batch) matrices *= size;
  // Returns the matrix of an operand with batch dimensions `dims` that belongs to matrix `index` of
  // Y.
  const auto matrix = [&](const std::vector<uint32_t>& dims, size_t index) {
    size_t result = 0, stride = 1;
    for (size_t i = 0; i < batch.size(); ++i) {
      const size_t at = index % batch[batch.size() - 1 - i];
      index /= batch[batch.size() - 1 - i];
      if (i >= dims.size()) continue;
      const size_t size = dims[dims.size() - 1 - i];
      if (size != 1) result += at * stride;
      stride *= size;
    }
    return result;
  };
  const size_t m = shape.m, n = shape.n, k = shape.k;
  std::vector<double> y(matrices * m * n);
  for (size_t i = 0; i < matrices; ++i) {
    const size_t a_at = matrix(shape.a_batch, i) * m * k;
    const size_t b_at = matrix(shape.b_batch, i) * k * n;
    SINTER_CHECK(a_at + m * k <= a.size() && b_at + k * n <= b.size());
    for (size_t row = 0; row < m; ++row) {
      double* sums = y.data() + (i * m + row) * n;
      for (size_t inner = 0; inner < k; ++inner) {
        const double factor = a[a_at + row * k + inner];
        const double* b_row = b.data() + b_at + inner * n;
        for (size_t col = 0; col < n; ++col) sums[col] += factor * b_row[col];
      }
    }
  }
  return y;
}

}  // namespace sinter::kernels

#include "kernels/matrix_peak/matrix_peak.h"

namespace sinter::kernels {

std::vector<double> MatrixPeakReference(const MatrixPeakShape& shape, uint32_t m, uint32_t n,
                                        uint32_t k, std::span<const double> lefts,
                                        std::span<const double> rights) {
  std::vector<double> products(size_t{16} * m * n);
  for (size_t i = 0; i < products.size(); ++i) {
    const size_t column = i % n, row = i / n % m, product = i / n / m;
    const double* left = lefts.data() + (product / 4 * m + row) * k;
    const double* right = rights.data() + product % 4 * k * n + column;
    for (size_t at = 0; at < k; ++at) products[i] += left[at] * right[at * n];
    products[i] *= shape.rounds;
  }
  std::vector<double> sums;
  for (uint32_t subgroup = 0; subgroup < 4 * shape.workgroups; ++subgroup) {
    sums.insert(sums.end(), products.begin(), products.end());
  }
  return sums;
}

}  // namespace sinter::kernels

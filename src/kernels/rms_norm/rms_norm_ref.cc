#include <cmath>

#include "base/check.h"
#include "kernels/rms_norm/rms_norm.h"

namespace sinter::kernels {

RmsNormResult RmsNormReference(uint32_t rows, uint32_t cols, double epsilon,
                               std::span<const double> input, std::span<const double> scale,
                               std::span<const double> skip, std::span<const double> bias) {
  const size_t count = size_t{rows} * cols;
  SINTER_CHECK(input.size() == count && scale.size() == cols);
  SINTER_CHECK(bias.empty() || bias.size() == cols);
  SINTER_CHECK(skip.empty() || (skip.size() % cols == 0 && count % skip.size() == 0));
  RmsNormResult result;
  result.output.resize(count);
  result.inv_std.resize(rows);
  result.sum.resize(count);
  for (size_t row = 0; row < rows; ++row) {
    const size_t begin = row * cols;
    double squares = 0;
    for (size_t col = 0; col < cols; ++col) {
      double x = input[begin + col];
      if (!skip.empty()) x += skip[(begin + col) % skip.size()];
      if (!bias.empty()) x += bias[col];
      result.sum[begin + col] = x;
      squares += x * x;
    }
    const double inv_std = 1 / std::sqrt(squares / cols + epsilon);
    result.inv_std[row] = inv_std;
    for (size_t col = 0; col < cols; ++col) {
      result.output[begin + col] = result.sum[begin + col] * inv_std * scale[col];
    }
  }
  return result;
}

}  // namespace sinter::kernels

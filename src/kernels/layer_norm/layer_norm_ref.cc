#include <cmath>

#include "base/check.h"
#include "kernels/layer_norm/layer_norm.h"

namespace sinter::kernels {

LayerNormResult LayerNormReference(uint32_t rows, uint32_t cols, double epsilon,
                                   std::span<const double> input, std::span<const double> scale,
                                   std::span<const double> bias) {
  const size_t count = size_t{rows} * cols;
  SINTER_CHECK(input.size() == count && scale.size() == cols);
  SINTER_CHECK(bias.empty() || bias.size() == cols);
  LayerNormResult result;
  result.output.resize(count);
  for (size_t row = 0; row < rows; ++row) {
    const std::span<const double> x = input.subspan(row * cols, cols);
    double sum = 0, squares = 0;
    for (const double value : x) sum += value;
    const double mean = sum / cols;
    for (const double value : x) squares += (value - mean) * (value - mean);
    const double inv_std = 1 / std::sqrt(squares / cols + epsilon);
    for (size_t col = 0; col < cols; ++col) {
      double& y = result.output[row * cols + col];
      y = (x[col] - mean) * inv_std * scale[col];
      // No bias is not a bias of 0, which would make 0 of -0.
      if (!bias.empty()) y += bias[col];
    }
    result.mean.push_back(mean);
    result.inv_std.push_back(inv_std);
  }
  return result;
}

}  // namespace sinter::kernels

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernels/softmax/softmax.h"

namespace sinter::kernels {

std::vector<double> SoftmaxReference(const SoftmaxShape& shape, std::span<const double> input) {
  SINTER_CHECK(input.size() == size_t{shape.outer} * shape.axis * shape.inner);
  std::vector<double> output(input.size());
  if (output.empty()) return output;  // there is no largest element
  for (size_t outer = 0; outer < shape.outer; ++outer) {
    for (size_t inner = 0; inner < shape.inner; ++inner) {
      const auto index = [&](size_t a) { return (outer * shape.axis + a) * shape.inner + inner; };
      double largest = input[index(0)];
      for (size_t a = 1; a < shape.axis; ++a) largest = std::max(largest, input[index(a)]);
      double sum = 0;
      for (size_t a = 0; a < shape.axis; ++a) {
        output[index(a)] = std::exp(input[index(a)] - largest);
        sum += output[index(a)];
      }
      for (size_t a = 0; a < shape.axis; ++a) output[index(a)] /= sum;
    }
  }
  return output;
}

}  // namespace sinter::kernels

// Naive Gather in double.

#include <algorithm>

#include "base/check.h"
#include "kernels/gather/gather.h"

namespace sinter::kernels {

std::vector<double> GatherReference(const GatherShape& shape, std::span<const double> data,
                                    std::span<const double> indices) {
  SINTER_CHECK(data.size() == size_t{shape.outer} * shape.axis * shape.inner);
  SINTER_CHECK(indices.size() == shape.indices);
  std::vector<double> out;
  out.reserve(size_t{shape.outer} * shape.indices * shape.inner);
  for (size_t outer = 0; outer < shape.outer; ++outer) {
    for (double index : indices) {
      if (index < 0) index += shape.axis;
      const auto row = static_cast<size_t>(std::clamp(index, 0.0, shape.axis - 1.0));
      const auto first = data.begin() + (outer * shape.axis + row) * shape.inner;
      out.insert(out.end(), first, first + shape.inner);
    }
  }
  return out;
}

}  // namespace sinter::kernels

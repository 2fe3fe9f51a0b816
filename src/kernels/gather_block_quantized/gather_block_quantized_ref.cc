// Naive GatherBlockQuantized in double.

#include <algorithm>

#include "base/check.h"
#include "kernels/gather_block_quantized/gather_block_quantized.h"

namespace sinter::kernels {

std::vector<double> GatherBlockQuantizedReference(const GatherBlockQuantizedShape& shape,
                                                  std::span<const std::byte> data,
                                                  std::span<const double> indices,
                                                  std::span<const double> scales,
                                                  std::span<const std::byte> zero_points) {
  SINTER_CHECK(indices.size() == shape.indices);
  const size_t per_byte = 8 / shape.bits;
  const bool is_signed = shape.data_type == DType::kI4;
  const auto code = [&](std::span<const std::byte> packed, size_t element) {
    const auto byte = static_cast<int>(packed[element / per_byte]);
    const int value =
        byte >> element % per_byte * shape.bits & static_cast<int>((1u << shape.bits) - 1);
    return is_signed && value >= 8 ? value - 16 : value;
  };
  const int default_zero = shape.data_type == DType::kU8 ? 1 << (shape.bits - 1) : 0;

  std::vector<double> out;
  out.reserve(size_t{shape.indices} * shape.slice_rows * shape.cols);
  for (double index : indices) {
    if (index < 0) index += shape.rows;
    const auto table_row = static_cast<size_t>(std::clamp(index, 0.0, shape.rows - 1.0));
    for (size_t slice = 0; slice < shape.slice_rows; ++slice) {
      const size_t row = table_row * shape.slice_rows + slice;
      for (size_t col = 0; col < shape.cols; ++col) {
        const size_t block = col / shape.block_size;
        const int zero = zero_points.empty()
                             ? default_zero
                             : code(zero_points, row * shape.zero_points_stride() + block);
        out.push_back((code(data, row * shape.cols + col) - zero) *
                      scales[row * shape.blocks() + block]);
      }
    }
  }
  return out;
}

}  // namespace sinter::kernels

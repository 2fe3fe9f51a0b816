// Naive MatMulNBits in double.

#include "base/check.h"
#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

std::vector<double> MatMulNBitsReference(const MatMulNBitsShape& shape, std::span<const double> a,
                                         std::span<const std::byte> b,
                                         std::span<const double> scales,
                                         std::span<const std::byte> zero_points_packed,
                                         std::span<const double> zero_points_float,
                                         std::span<const double> bias) {
  const size_t blocks = shape.blocks();
  const size_t per_byte = 8 / shape.bits;
  const size_t zero_points_row = shape.packed_zero_points_row_bytes();
  SINTER_CHECK(a.size() == size_t{shape.m} * shape.k);
  SINTER_CHECK(b.size() == shape.n * shape.b_row_bytes());
  SINTER_CHECK(scales.size() == shape.n * blocks);
  // Returns code `index` of the packed row that starts at `row`.
  const auto code = [&](std::span<const std::byte> packed, size_t row, size_t index) {
    const auto byte = static_cast<unsigned>(packed[row + index / per_byte]);
    return static_cast<double>(byte >> index % per_byte * shape.bits & ((1u << shape.bits) - 1));
  };

  std::vector<double> y(size_t{shape.m} * shape.n);
  std::vector<double> row(shape.k);
  for (size_t n = 0; n < shape.n; ++n) {
    for (size_t k = 0; k < shape.k; ++k) {
      const size_t block = k / shape.block_size;
      double zero = 1u << (shape.bits - 1);
      if (shape.zero_points == ZeroPoints::kPacked) {
        zero = code(zero_points_packed, n * zero_points_row, block);
      } else if (shape.zero_points == ZeroPoints::kFloat) {
        zero = zero_points_float[n * blocks + block];
      }
      row[k] = (code(b, n * shape.b_row_bytes(), k) - zero) * scales[n * blocks + block];
    }
    for (size_t m = 0; m < shape.m; ++m) {
      double sum = shape.bias ? bias[n] : 0.0;
      const double* a_row = a.data() + m * shape.k;
      for (size_t k = 0; k < shape.k; ++k) sum += a_row[k] * row[k];
      y[m * shape.n + n] = sum;
    }
  }
  return y;
}

}  // namespace sinter::kernels

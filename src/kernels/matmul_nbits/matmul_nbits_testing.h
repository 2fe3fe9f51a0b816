// Provides inputs, operands and expected results of MatMulNBits for many rows, for the tests of its
// variants.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/matmul_nbits/matmul_nbits.h"
#include "kernels/matmul_nbits/matmul_nbits_plan.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels::nbits_testing {

struct Inputs {
  std::vector<double> a, scales, zero_points_float, bias, residual;
  std::vector<std::byte> b, zero_points_packed;
};

// Kinds of scales and float zero points of a case.
enum class Weights {
  // Powers of two from 1 / 2^bits down, and quarters: weights are exact in f16, and the kernel's
  // only error is the rounding of f32 sums.
  kExact,
  kAny,
};

inline Inputs MakeInputs(const MatMulNBitsShape& shape, Weights weights = Weights::kExact) {
  const size_t rows = shape.b_rows(), blocks = rows * shape.blocks();
  Inputs inputs;
  inputs.a = RandomValues(shape.dtype, size_t{shape.m} * shape.k, 1);
  inputs.b = RandomBytes(rows * shape.b_row_bytes(), 2);
  inputs.scales.resize(blocks);
  const std::vector<std::byte> exponents = RandomBytes(blocks, 3);
  for (size_t i = 0; i < blocks; ++i) {
    inputs.scales[i] =
        std::ldexp(1.0, -static_cast<int>(shape.bits) - static_cast<int>(exponents[i]) % 3);
  }
  if (weights == Weights::kAny)
    inputs.scales = RandomValues(shape.dtype, blocks, 3, 1.0 / (1u << shape.bits));
  if (shape.zero_points == ZeroPoints::kPacked) {
    inputs.zero_points_packed = RandomBytes(rows * shape.packed_zero_points_row_bytes(), 4);
  } else if (shape.zero_points == ZeroPoints::kFloat) {
    inputs.zero_points_float = RandomValues(shape.dtype, blocks, 4, 1u << (shape.bits - 2));
    for (double& zero : inputs.zero_points_float) {
      if (weights == Weights::kExact) zero = std::round(zero * 4) / 4;
    }
  }
  if (shape.bias) inputs.bias = RandomValues(shape.dtype, rows, 5);
  if (shape.residual) inputs.residual = RandomValues(shape.dtype, size_t{shape.m} * shape.n, 6);
  return inputs;
}

inline double Activation(Glu glu, double x) {
  switch (glu) {
    case Glu::kSilu:
      return x / (1 + std::exp(-x));
    case Glu::kGelu:
      return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    default:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
  }
}

// Returns the product by the reference of its parts, then gate and residual.
inline std::vector<double> Expected(const MatMulNBitsShape& shape, const Inputs& inputs) {
  MatMulNBitsShape product = shape;
  product.n = shape.b_rows();
  product.glu = Glu::kNone;
  product.residual = false;
  std::vector<double> y =
      MatMulNBitsReference(product, inputs.a, inputs.b, inputs.scales, inputs.zero_points_packed,
                           inputs.zero_points_float, inputs.bias);
  if (shape.glu != Glu::kNone) {
    std::vector<double> gated(size_t{shape.m} * shape.n);
    for (size_t i = 0; i < gated.size(); ++i) {
      const size_t at = i / shape.n * product.n + i % shape.n;
      gated[i] = Activation(shape.glu, y[at]) * y[at + shape.n];
    }
    y = std::move(gated);
  }
  for (size_t i = 0; i < inputs.residual.size(); ++i) y[i] += inputs.residual[i];
  return y;
}

inline std::string Name(const MatMulNBitsShape& shape) {
  constexpr std::string_view kGlu[] = {"", ".silu", ".gelu", ".gelu_tanh"};
  return fmt::format(
      "m{}.n{}.k{}.b{}.blk{}{}{}{}{}{}{}", shape.m, shape.n, shape.k, shape.bits, shape.block_size,
      shape.interleave > 1 ? ".by8" : "", ZeroPointsTag(shape.zero_points),
      shape.bias ? ".bias" : "", kGlu[static_cast<int>(shape.glu)],
      shape.residual ? ".residual" : "",
      shape.n_count == 0 ? "" : fmt::format(".from{}.count{}", shape.n_begin, shape.n_count));
}

template <typename T>
std::vector<T> Rows(const std::vector<T>& values, size_t rows, size_t begin, size_t count) {
  const size_t row = values.size() / rows;
  return {values.begin() + begin * row, values.begin() + (begin + count) * row};
}

// Returns the bound rows of B, scales or zero points in the shape's order. `unit` is the number of
// values that stay together.
template <typename T>
std::vector<T> InOrder(const MatMulNBitsShape& shape, const std::vector<T>& rows, size_t unit = 1) {
  if (shape.interleave == 1 || rows.empty()) return rows;
  const size_t count = shape.n_count == 0 ? shape.b_rows() : shape.n_count;
  std::vector<T> ordered(rows.size());
  InterleaveRows(std::as_bytes(std::span(rows)), rows.size() / count * sizeof(T), unit * sizeof(T),
                 0, std::as_writable_bytes(std::span(ordered)));
  return ordered;
}

inline std::vector<std::byte> CodesInOrder(const MatMulNBitsShape& shape,
                                           const std::vector<std::byte>& rows) {
  return InOrder(shape, rows, shape.unit_words() * size_t{4});
}

// Columns of Y outside of [n_begin, n_begin + n_count) must keep their values.
inline constexpr double kUntouched = 7.0;

// Returns the operands. `device` is the type of A, scales, bias, residual and Y on the device.
inline std::vector<Operand> MakeOperands(const MatMulNBitsShape& shape, DType device, Inputs inputs,
                                         std::vector<double> expected, double abs_tolerance) {
  const size_t rows = shape.b_rows();
  const size_t begin = shape.n_begin, count = shape.n_count == 0 ? rows : shape.n_count;
  Operand y = Operand::Output(device, std::move(expected), abs_tolerance, 2 * Epsilon(device));
  if (shape.n_count != 0) {
    y.values.assign(y.expected.size(), kUntouched);
    for (size_t i = 0; i < y.expected.size(); ++i) {
      const size_t n = i % shape.n;
      if (n < begin || n >= begin + count) y.expected[i] = kUntouched;
    }
  }
  Operand zero_points = Operand::Absent();
  if (shape.zero_points == ZeroPoints::kPacked) {
    zero_points =
        Operand::Packed(InOrder(shape, Rows(inputs.zero_points_packed, rows, begin, count)));
  } else if (shape.zero_points == ZeroPoints::kFloat) {
    zero_points =
        Operand::Input(device, InOrder(shape, Rows(inputs.zero_points_float, rows, begin, count)));
  }
  return {Operand::Input(device, std::move(inputs.a)),
          Operand::Packed(CodesInOrder(shape, Rows(inputs.b, rows, begin, count))),
          Operand::Input(device, InOrder(shape, Rows(inputs.scales, rows, begin, count))),
          std::move(zero_points),
          shape.bias ? Operand::Input(device, Rows(inputs.bias, rows, begin, count))
                     : Operand::Absent(),
          std::move(y),
          shape.residual ? Operand::Input(device, std::move(inputs.residual)) : Operand::Absent()};
}

// Returns operands for large shapes, of which only the first, a middle and the last row of Y are
// computed and compared. Keeps the operands of the last shape, because a benchmark asks for the
// same ones many times.
inline std::vector<Operand> MakeSampledOperands(const MatMulNBitsShape& shape,
                                                double abs_tolerance) {
  static std::pair<std::string, std::vector<Operand>> kept;
  std::string name = Name(shape);
  if (kept.first == name) return kept.second;
  const size_t rows[] = {0, shape.m / 2, shape.m - size_t{1}};
  Inputs inputs = MakeInputs(shape);
  Inputs sampled = inputs;
  const auto sample = [&](const std::vector<double>& values) {
    std::vector<double> some;
    for (const size_t row : rows) {
      const std::vector<double> one = Rows(values, shape.m, row, 1);
      some.insert(some.end(), one.begin(), one.end());
    }
    return some;
  };
  sampled.a = sample(inputs.a);
  sampled.residual = sample(inputs.residual);
  MatMulNBitsShape part = shape;
  part.m = std::size(rows);
  const std::vector<double> y = Expected(part, sampled);
  std::vector<double> expected(size_t{shape.m} * shape.n, std::nan(""));
  for (size_t i = 0; i < std::size(rows); ++i) {
    std::copy_n(y.data() + i * shape.n, shape.n, expected.data() + rows[i] * shape.n);
  }
  kept = {std::move(name),
          MakeOperands(shape, shape.dtype, std::move(inputs), std::move(expected), abs_tolerance)};
  return kept.second;
}

}  // namespace sinter::kernels::nbits_testing

// Helpers that the tests of QMoE's kernels share: weights, routing, tolerances, names.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/qmoe/qmoe.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels::qmoe {

// Tensors of one layer of all experts.
struct Weight {
  std::vector<std::byte> codes, zero_points;
  std::vector<double> scales, bias;
  QMoEWeight view() const { return {codes, scales, zero_points, bias}; }
};

inline Weight MakeWeight(const QMoEShape& shape, size_t rows, size_t k, bool zero_points, bool bias,
                         uint32_t seed) {
  const size_t per_byte = 8 / shape.bits;
  const size_t blocks = shape.block_size == 0 ? 1 : (k + shape.block_size - 1) / shape.block_size;
  Weight weight;
  weight.codes = RandomBytes(shape.experts * rows * ((k + per_byte - 1) / per_byte), seed);
  weight.scales =
      RandomValues(shape.dtype, shape.experts * rows * blocks, seed + 1, 1.0 / (1u << shape.bits));
  if (zero_points) {
    const size_t expert_bytes = shape.block_size == 0 ? (rows + per_byte - 1) / per_byte
                                                      : rows * ((blocks + per_byte - 1) / per_byte);
    weight.zero_points = RandomBytes(shape.experts * expert_bytes, seed + 2);
  }
  if (bias) weight.bias = RandomValues(shape.dtype, shape.experts * rows, seed + 3);
  return weight;
}

inline Weight MakeFc1(const QMoEShape& shape) {
  return MakeWeight(shape, shape.fc1_rows(), shape.hidden, shape.fc1_zero_points, shape.fc1_bias,
                    10);
}

inline Weight MakeFc2(const QMoEShape& shape) {
  return MakeWeight(shape, shape.hidden, shape.intermediate, shape.fc2_zero_points, shape.fc2_bias,
                    20);
}

// Returns different experts for the slots of a token. Every expert is in use if there are enough
// slots.
inline std::vector<double> MakeIndices(const QMoEShape& shape) {
  std::vector<double> indices;
  for (uint32_t token = 0; token < shape.tokens; ++token) {
    for (uint32_t slot = 0; slot < shape.top_k; ++slot) {
      indices.push_back((token * 7 + slot) % shape.experts);
    }
  }
  return indices;
}

// Returns the error of an f32 sum of k products of unit size: each step adds at most an epsilon of
// the partial sum, which grows as sqrt(k), so k / sqrt(2) epsilons; 4 times that for the largest of
// many outputs.
inline double SumTolerance(double k) { return 4.0 * Epsilon(DType::kF32) * (k + 16.0); }

// Returns the factor by which an activation enlarges an error of its argument. SwiGLU: at most 1.1
// * alpha' * |up + beta| for gate (the slope of x sigmoid(alpha x) is below 1.1), and |gate| for
// up, both of the size of the sum itself (about sqrt(k), times 4) or of the limit.
inline double Amplification(const QMoEShape& shape) {
  if (shape.activation != QMoEActivation::kSwiGlu) return 1.2;
  const double size = std::min<double>(shape.limit, 4.0 * std::sqrt(shape.hidden));
  return 1.1 * (size + std::abs(shape.beta)) + size;
}

// Returns the tensors of the bound experts.
template <typename T>
std::vector<T> BoundExperts(const QMoEShape& shape, const std::vector<T>& values) {
  if (shape.expert_count == 0) return values;
  const size_t expert = values.size() / shape.experts;
  return {values.begin() + shape.expert_begin * expert,
          values.begin() + (shape.expert_begin + shape.expert_count) * expert};
}

inline std::string Name(const QMoEShape& shape) {
  constexpr std::string_view kActivations[] = {"relu", "gelu", "silu", "identity", "swiglu"};
  std::string name =
      fmt::format("t{}.k{}of{}.h{}.i{}.b{}.blk{}.{}.{}", shape.tokens, shape.top_k, shape.experts,
                  shape.hidden, shape.intermediate, shape.bits, shape.block_size,
                  DTypeName(shape.dtype), kActivations[static_cast<int>(shape.activation)]);
  if (shape.activation == QMoEActivation::kSwiGlu) {
    name += fmt::format("{}", static_cast<int>(shape.fusion));
  }
  if (std::isfinite(shape.limit)) name += ".limit";
  if (shape.fc1_zero_points) name += ".zp";
  if (shape.fc1_bias) name += ".bias";
  if (shape.expert_count != 0) name += fmt::format(".from{}", shape.expert_begin);
  return name;
}

// Returns the shape with gpt-oss's interleaved SwiGLU, its constants and biases.
inline QMoEShape GptOss(QMoEShape shape) {
  shape.alpha = 1.702f;
  shape.beta = 1.0f;
  shape.limit = 7.0f;
  shape.fc1_bias = shape.fc2_bias = true;
  shape.normalize = true;
  return shape;
}

}  // namespace sinter::kernels::qmoe

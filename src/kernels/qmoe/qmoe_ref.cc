// Naive QMoE in double.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "kernels/qmoe/qmoe.h"

namespace sinter::kernels {
namespace {

double Logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double Activate(QMoEActivation activation, double x) {
  switch (activation) {
    case QMoEActivation::kRelu:
      return std::max(x, 0.0);
    case QMoEActivation::kGelu:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case QMoEActivation::kSilu:
      return x * Logistic(x);
    default:
      return x;
  }
}

// Returns weight[expert] x + bias[expert], with weight [E, rows, k].
std::vector<double> ExpertProduct(const QMoEShape& shape, const QMoEWeight& weight, size_t rows,
                                  size_t k, size_t expert, std::span<const double> x) {
  const size_t per_byte = 8 / shape.bits;
  const size_t row_bytes = (k * shape.bits + 7) / 8;
  const size_t block_size = shape.block_size == 0 ? k : shape.block_size;
  const size_t blocks = (k + block_size - 1) / block_size;
  // Returns code `index` of the packed row that starts at `row`.
  const auto code = [&](std::span<const std::byte> packed, size_t row, size_t index) {
    const auto byte = static_cast<unsigned>(packed[row + index / per_byte]);
    return static_cast<double>(byte >> index % per_byte * shape.bits & ((1u << shape.bits) - 1));
  };
  std::vector<double> y(rows);
  for (size_t n = 0; n < rows; ++n) {
    const size_t row = expert * rows + n;
    double sum = weight.bias.empty() ? 0.0 : weight.bias[row];
    if (!weight.plain.empty()) {
      const std::span<const double> w = weight.plain.subspan(row * k, k);
      y[n] = std::inner_product(w.begin(), w.end(), x.begin(), sum);
      continue;
    }
    for (size_t block = 0; block < blocks; ++block) {
      double zero = 1u << (shape.bits - 1);
      if (!weight.zero_points.empty()) {
        zero = shape.block_size == 0
                   ? code(weight.zero_points, expert * ((rows + per_byte - 1) / per_byte), n)
                   : code(weight.zero_points, row * ((blocks + per_byte - 1) / per_byte), block);
      }
      double dot = 0;
      for (size_t i = block * block_size; i < std::min(k, (block + 1) * block_size); ++i) {
        dot += (code(weight.codes, row * row_bytes, i) - zero) * x[i];
      }
      sum += dot * weight.scales[row * blocks + block];
    }
    y[n] = sum;
  }
  return y;
}

}  // namespace

QMoERouting QMoERouterReference(const QMoEShape& shape, std::span<const double> logits) {
  SINTER_CHECK(logits.size() == size_t{shape.tokens} * shape.experts);
  QMoERouting routing;
  std::vector<size_t> order(shape.experts);
  for (size_t token = 0; token < shape.tokens; ++token) {
    const auto row = logits.subspan(token * shape.experts, shape.experts);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return row[a] > row[b]; });
    const double largest = row[order[0]];
    double sum = 0;
    for (size_t i = 0; i < (shape.normalize ? shape.top_k : shape.experts); ++i) {
      sum += std::exp(row[order[i]] - largest);
    }
    for (size_t i = 0; i < shape.top_k; ++i) {
      routing.indices.push_back(static_cast<double>(order[i]));
      routing.weights.push_back(std::exp(row[order[i]] - largest) / sum);
    }
  }
  return routing;
}

std::vector<double> QMoEGateUpReference(const QMoEShape& shape, std::span<const double> x,
                                        const QMoEWeight& fc1, std::span<const double> indices) {
  std::vector<double> h;
  for (size_t slot = 0; slot < indices.size(); ++slot) {
    const std::vector<double> y = ExpertProduct(
        shape, fc1, shape.fc1_rows(), shape.hidden, static_cast<size_t>(indices[slot]),
        x.subspan(slot / shape.top_k * shape.hidden, shape.hidden));
    for (size_t i = 0; i < shape.intermediate; ++i) {
      if (shape.activation != QMoEActivation::kSwiGlu) {
        h.push_back(Activate(shape.activation, y[i]));
        continue;
      }
      const bool interleaved = shape.fusion == SwiGluFusion::kInterleaved;
      const double limit = shape.limit;
      const double gate = std::min(interleaved ? y[2 * i] : y[i], limit);
      const double up =
          std::clamp(interleaved ? y[2 * i + 1] : y[shape.intermediate + i], -limit, limit);
      h.push_back(gate * Logistic(shape.alpha * gate) * (up + shape.beta));
    }
  }
  return h;
}

std::vector<double> QMoEDownReference(const QMoEShape& shape, std::span<const double> h,
                                      const QMoEWeight& fc2, std::span<const double> indices) {
  std::vector<double> d;
  for (size_t slot = 0; slot < indices.size(); ++slot) {
    const std::vector<double> y = ExpertProduct(
        shape, fc2, shape.hidden, shape.intermediate, static_cast<size_t>(indices[slot]),
        h.subspan(slot * shape.intermediate, shape.intermediate));
    d.insert(d.end(), y.begin(), y.end());
  }
  return d;
}

std::vector<double> QMoEMixReference(const QMoEShape& shape, std::span<const double> d,
                                     std::span<const double> weights) {
  std::vector<double> y(size_t{shape.tokens} * shape.hidden);
  for (size_t slot = 0; slot < weights.size(); ++slot) {
    for (size_t i = 0; i < shape.hidden; ++i) {
      y[slot / shape.top_k * shape.hidden + i] += weights[slot] * d[slot * shape.hidden + i];
    }
  }
  return y;
}

std::vector<double> QMoEReference(const QMoEShape& shape, std::span<const double> x,
                                  std::span<const double> logits, const QMoEWeight& fc1,
                                  const QMoEWeight& fc2) {
  const QMoERouting routing = QMoERouterReference(shape, logits);
  const std::vector<double> h = QMoEGateUpReference(shape, x, fc1, routing.indices);
  const std::vector<double> d = QMoEDownReference(shape, h, fc2, routing.indices);
  return QMoEMixReference(shape, d, routing.weights);
}

}  // namespace sinter::kernels

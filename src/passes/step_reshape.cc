#include "passes/step_reshape.h"

#include <algorithm>
#include <numeric>

namespace sinter::passes {
namespace {

// An axis of length factor * prime, where the coefficients of `prime` have no common divisor.
struct Factored {
  Affine prime;
  int64_t factor = 1;
};

Factored Factor(const Affine& size) {
  const int64_t factor = std::gcd(std::gcd(size.constant, size.tokens), size.past);
  return {Affine(size.constant / factor, size.tokens / factor, size.past / factor), factor};
}

// Row-major order of a value: the lengths that depend on the run, with the product of the constant
// ones before the first, between two, and after the last.
struct Order {
  std::vector<Affine> lengths;
  std::vector<int64_t> program;  // the program's size of each length
  std::vector<int64_t> between = {1};
  bool operator==(const Order&) const = default;
};

std::optional<Order> OrderOf(const std::vector<Affine>& axes, const graph::Shape& shape) {
  if (axes.size() != shape.size()) return std::nullopt;
  Order order;
  for (size_t d = 0; d < axes.size(); ++d) {
    if (axes[d].is_constant()) {
      if (axes[d].constant != shape[d]) return std::nullopt;
      if (__builtin_mul_overflow(order.between.back(), shape[d], &order.between.back()))
        return std::nullopt;
      continue;
    }
    const Factored size = Factor(axes[d]);
    if (shape[d] % size.factor != 0) return std::nullopt;
    order.lengths.push_back(size.prime);
    order.program.push_back(shape[d] / size.factor);
    order.between.push_back(size.factor);
  }
  return order;
}

}  // namespace

std::optional<Affine> ProductOf(const std::vector<Affine>& axes) {
  Affine product = 1;
  for (const Affine& axis : axes) {
    const std::optional<Affine> next = Product(product, axis);
    if (!next) return std::nullopt;
    product = *next;
  }
  return product;
}

std::optional<std::vector<Affine>> ReshapedAxes(const std::vector<Affine>& from,
                                                const std::vector<Affine>& target,
                                                bool allow_zero) {
  std::vector<Affine> to = target;
  std::optional<size_t> open;
  for (size_t d = 0; d < to.size(); ++d) {
    if (to[d].is(-1)) {
      open = d;
    } else if (to[d].is(0) && !allow_zero) {
      if (d >= from.size()) return std::nullopt;
      to[d] = from[d];
    }
  }
  if (!open) return to;
  // Divides the input's sizes by those that are known.
  std::vector<Affine> lengths;
  int64_t constant = 1;
  const auto take = [&](const Affine& size) {
    if (size.is_constant()) return !__builtin_mul_overflow(constant, size.constant, &constant);
    const Factored factored = Factor(size);
    lengths.push_back(factored.prime);
    return !__builtin_mul_overflow(constant, factored.factor, &constant);
  };
  for (const Affine& size : from) {
    if (!take(size)) return std::nullopt;
  }
  int64_t known = 1;
  for (size_t d = 0; d < to.size(); ++d) {
    if (d == *open) continue;
    Factored factored = {1, to[d].constant};
    if (!to[d].is_constant()) {
      factored = Factor(to[d]);
      const auto at = std::find(lengths.begin(), lengths.end(), factored.prime);
      if (at == lengths.end()) return std::nullopt;
      lengths.erase(at);
    }
    if (__builtin_mul_overflow(known, factored.factor, &known)) return std::nullopt;
  }
  if (known == 0 || constant % known != 0 || lengths.size() > 1) return std::nullopt;
  const std::optional<Affine> rest =
      Product(lengths.empty() ? Affine(1) : lengths[0], Affine(constant / known));
  if (!rest) return std::nullopt;
  to[*open] = *rest;
  return to;
}

bool KeepsOrder(const std::vector<Affine>& from, const graph::Shape& from_shape,
                const std::vector<Affine>& to, const graph::Shape& to_shape) {
  const std::optional<Order> before = OrderOf(from, from_shape), after = OrderOf(to, to_shape);
  return before && after && *before == *after;
}

}  // namespace sinter::passes

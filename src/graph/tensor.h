// A constant tensor on the host: bytes in ONNX's raw layout, shared and never changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/dtype.h"

namespace sinter::graph {

using Shape = std::vector<int64_t>;

// The product of the dimensions; 1 for a scalar. Throws Error where it overflows int64 or a
// dimension is negative.
int64_t NumElements(const Shape& shape);

// Little-endian, row-major elements; 4-bit types hold two elements a byte, the first in the low
// half. The bytes may lie in a mapped file: `owner` keeps whatever holds them alive.
struct Tensor {
  DType dtype = DType::kUndefined;
  Shape shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;

  // A tensor that owns a copy of `values`, converted to `dtype`. Throws Error for a type without
  // conversion.
  static Tensor FromDoubles(DType dtype, Shape shape, std::span<const double> values);
  static Tensor FromInts(DType dtype, Shape shape, std::span<const int64_t> values);

  int64_t num_elements() const { return NumElements(shape); }
  // Whether `bytes` holds at least what dtype and shape say. False, too, where they say something
  // absurd.
  bool has_all_bytes() const;

  // Every element as a double (int64 beyond 2^53 rounds), resp. as int64 (floats truncate towards
  // zero).
  std::vector<double> ToDoubles() const;
  std::vector<int64_t> ToInts() const;
};

}  // namespace sinter::graph

// A constant tensor on the host. Its bytes have ONNX's raw layout, are shared and never change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/dtype.h"

namespace sinter::graph {

using Shape = std::vector<int64_t>;

// Returns the product of the dimensions, 1 for a scalar. Throws Error if the product overflows
// int64 or a dimension is negative.
int64_t NumElements(const Shape& shape);

// Little-endian elements in row-major order. 4-bit types store two elements in a byte, the first
// one in the low half. The bytes may be part of a mapped file; `owner` keeps their storage alive.
struct Tensor {
  DType dtype = DType::kUndefined;
  Shape shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;

  // Return a tensor that owns a copy of `values`, converted to `dtype`. Throw Error for a type that
  // has no conversion.
  static Tensor FromDoubles(DType dtype, Shape shape, std::span<const double> values);
  static Tensor FromInts(DType dtype, Shape shape, std::span<const int64_t> values);

  int64_t num_elements() const { return NumElements(shape); }
  // Returns whether `bytes` holds at least the bytes that dtype and shape require. Returns false if
  // the shape has a negative dimension or its size overflows.
  bool has_all_bytes() const;

  // ToDoubles returns the elements as double; int64 beyond 2^53 is rounded. ToInts returns them as
  // int64; floats are truncated towards zero. Both throw Error for a type that is not numeric.
  std::vector<double> ToDoubles() const;
  std::vector<int64_t> ToInts() const;
};

}  // namespace sinter::graph

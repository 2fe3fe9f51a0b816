#include "graph/tensor.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "base/half.h"

namespace sinter::graph {
namespace {

// Converts a float to an integer without undefined behaviour: truncates, clamps to the range of T,
// and maps NaN to 0.
template <typename T>
T Saturate(double value) {
  if (std::isnan(value)) return 0;
  if (value <= static_cast<double>(std::numeric_limits<T>::min()))
    return std::numeric_limits<T>::min();
  // For 64-bit types, max() as a double rounds up to a power of two, so the test must be `>=`.
  if (value >= static_cast<double>(std::numeric_limits<T>::max()))
    return std::numeric_limits<T>::max();
  return static_cast<T>(value);
}

// Converts to the integer type T. Integers wrap like a cast in C, floats saturate.
template <typename T, typename From>
T ToInteger(From value) {
  if constexpr (std::is_floating_point_v<From>) {
    return Saturate<T>(value);
  } else {
    return static_cast<T>(value);
  }
}

template <typename T, typename From>
void Store(std::byte* out, std::span<const From> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    T element;
    if constexpr (std::is_floating_point_v<T>) {
      element = static_cast<T>(values[i]);
    } else {
      element = ToInteger<T>(values[i]);
    }
    std::memcpy(out + i * sizeof(T), &element, sizeof(T));
  }
}

template <typename From>
void StoreNibbles(std::byte* out, std::span<const From> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const auto nibble = static_cast<uint8_t>(ToInteger<int64_t>(values[i]) & 15);
    if (i % 2 == 0) {
      out[i / 2] = std::byte{nibble};
    } else {
      out[i / 2] |= std::byte(nibble << 4);
    }
  }
}

template <typename From>
Tensor FromValues(DType dtype, Shape shape, std::span<const From> values) {
  SINTER_CHECK(NumElements(shape) == static_cast<int64_t>(values.size()),
               "{} values for {} elements", values.size(), NumElements(shape));
  auto storage = std::make_shared<std::vector<std::byte>>(DTypeBytes(dtype, values.size()));
  std::byte* out = storage->data();
  switch (dtype) {
    case DType::kF32:
      Store<float>(out, values);
      break;
    case DType::kF64:
      Store<double>(out, values);
      break;
    case DType::kU8:
      Store<uint8_t>(out, values);
      break;
    case DType::kI8:
      Store<int8_t>(out, values);
      break;
    case DType::kU16:
      Store<uint16_t>(out, values);
      break;
    case DType::kI16:
      Store<int16_t>(out, values);
      break;
    case DType::kI32:
      Store<int32_t>(out, values);
      break;
    case DType::kI64:
      Store<int64_t>(out, values);
      break;
    case DType::kU32:
      Store<uint32_t>(out, values);
      break;
    case DType::kU64:
      Store<uint64_t>(out, values);
      break;
    case DType::kBool:
      for (size_t i = 0; i < values.size(); ++i) out[i] = std::byte{values[i] != 0};
      break;
    case DType::kF16:
    case DType::kBF16:
      for (size_t i = 0; i < values.size(); ++i) {
        const auto value = static_cast<double>(values[i]);
        const uint16_t half = dtype == DType::kF16 ? DoubleToHalf(value) : DoubleToBFloat16(value);
        std::memcpy(out + i * sizeof(half), &half, sizeof(half));
      }
      break;
    case DType::kU4:
    case DType::kI4:
      StoreNibbles(out, values);
      break;
    default:
      throw Error("graph", "a constant: got type {}, want a numeric type", DTypeName(dtype));
  }
  return Tensor{dtype, std::move(shape), *storage, storage};
}

template <typename T, typename To>
void Load(std::span<const std::byte> bytes, std::vector<To>& out) {
  for (size_t i = 0; i < out.size(); ++i) {
    T element;
    std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
    if constexpr (std::is_floating_point_v<To>) {
      out[i] = static_cast<To>(element);
    } else {
      out[i] = ToInteger<To>(element);
    }
  }
}

template <typename To>
std::vector<To> ToValues(const Tensor& tensor) {
  const int64_t elems = tensor.num_elements();
  if (DTypeBits(tensor.dtype) == 0) {
    throw Error("graph", "a constant: got type {}, want a numeric type", DTypeName(tensor.dtype));
  }
  SINTER_CHECK(tensor.has_all_bytes(), "{} bytes for {} elements of {}", tensor.bytes.size(), elems,
               DTypeName(tensor.dtype));
  std::vector<To> out(elems);
  switch (tensor.dtype) {
    case DType::kF32:
      Load<float>(tensor.bytes, out);
      break;
    case DType::kF64:
      Load<double>(tensor.bytes, out);
      break;
    case DType::kBool:
    case DType::kU8:
      Load<uint8_t>(tensor.bytes, out);
      break;
    case DType::kI8:
      Load<int8_t>(tensor.bytes, out);
      break;
    case DType::kU16:
      Load<uint16_t>(tensor.bytes, out);
      break;
    case DType::kI16:
      Load<int16_t>(tensor.bytes, out);
      break;
    case DType::kI32:
      Load<int32_t>(tensor.bytes, out);
      break;
    case DType::kI64:
      Load<int64_t>(tensor.bytes, out);
      break;
    case DType::kU32:
      Load<uint32_t>(tensor.bytes, out);
      break;
    case DType::kU64:
      Load<uint64_t>(tensor.bytes, out);
      break;
    case DType::kF16:
    case DType::kBF16:
      for (size_t i = 0; i < out.size(); ++i) {
        uint16_t half;
        std::memcpy(&half, tensor.bytes.data() + i * sizeof(half), sizeof(half));
        const float value = tensor.dtype == DType::kF16 ? HalfToFloat(half) : BFloat16ToFloat(half);
        if constexpr (std::is_floating_point_v<To>) {
          out[i] = value;
        } else {
          out[i] = Saturate<To>(value);
        }
      }
      break;
    default:
      for (size_t i = 0; i < out.size(); ++i) {
        const int nibble = std::to_integer<int>(tensor.bytes[i / 2]) >> (i % 2 * 4) & 15;
        out[i] = static_cast<To>(tensor.dtype == DType::kI4 && nibble > 7 ? nibble - 16 : nibble);
      }
  }
  return out;
}

}  // namespace

int64_t NumElements(const Shape& shape) {
  int64_t elems = 1;
  bool empty = false;
  for (const int64_t dim : shape) {
    if (dim < 0) throw Error("graph", "a shape: got dimension {}, want >= 0", dim);
    empty |= dim == 0;
  }
  if (empty) return 0;
  for (const int64_t dim : shape) {
    if (__builtin_mul_overflow(elems, dim, &elems)) {
      throw Error("graph", "a shape: got [{}], want fewer than 2^63 elements",
                  fmt::join(shape, ", "));
    }
  }
  return elems;
}

bool Tensor::has_all_bytes() const {
  uint64_t elems = 1;
  for (const int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(elems, static_cast<uint64_t>(dim), &elems)) return false;
  }
  // Compares elems / 2 first, because DTypeBytes multiplies and could overflow.
  return elems / 2 <= bytes.size() && DTypeBytes(dtype, elems) <= bytes.size();
}

Tensor Tensor::FromDoubles(DType dtype, Shape shape, std::span<const double> values) {
  return FromValues(dtype, std::move(shape), values);
}

Tensor Tensor::FromInts(DType dtype, Shape shape, std::span<const int64_t> values) {
  return FromValues(dtype, std::move(shape), values);
}

std::vector<double> Tensor::ToDoubles() const { return ToValues<double>(*this); }

std::vector<int64_t> Tensor::ToInts() const { return ToValues<int64_t>(*this); }

}  // namespace sinter::graph

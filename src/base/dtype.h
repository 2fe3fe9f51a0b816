// Element types of tensors, with the numbers that ONNX gives them (onnx.proto,
// TensorProto.DataType).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sinter {

enum class DType : uint8_t {
  kUndefined = 0,
  kF32 = 1,
  kU8 = 2,
  kI8 = 3,
  kU16 = 4,
  kI16 = 5,
  kI32 = 6,
  kI64 = 7,
  kString = 8,
  kBool = 9,
  kF16 = 10,
  kF64 = 11,
  kU32 = 12,
  kU64 = 13,
  kBF16 = 16,
  kU4 = 21,
  kI4 = 22,
};

// Returns "f32", "i64", ...; "undefined" for anything else.
std::string_view DTypeName(DType dtype);

// Inverse of DTypeName. Returns kUndefined for an unknown name.
DType DTypeFromName(std::string_view name);

// Returns the bits of one element in an ONNX tensor's raw data: 4 for the packed 4-bit types, 0 for
// types without a fixed size.
int DTypeBits(DType dtype);

// Returns the bytes of `elems` tightly packed elements. An odd count of 4-bit elements rounds up.
inline size_t DTypeBytes(DType dtype, size_t elems) { return (elems * DTypeBits(dtype) + 7) / 8; }

inline bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF64;
}

}  // namespace sinter

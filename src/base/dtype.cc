#include "base/dtype.h"

namespace sinter {
namespace {

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  int bits;
};

constexpr DTypeInfo kInfo[] = {
    {DType::kF32, "f32", 32}, {DType::kU8, "u8", 8},         {DType::kI8, "i8", 8},
    {DType::kU16, "u16", 16}, {DType::kI16, "i16", 16},      {DType::kI32, "i32", 32},
    {DType::kI64, "i64", 64}, {DType::kString, "string", 0}, {DType::kBool, "bool", 8},
    {DType::kF16, "f16", 16}, {DType::kF64, "f64", 64},      {DType::kU32, "u32", 32},
    {DType::kU64, "u64", 64}, {DType::kBF16, "bf16", 16},    {DType::kU4, "u4", 4},
    {DType::kI4, "i4", 4},
};

}  // namespace

std::string_view DTypeName(DType dtype) {
  for (const DTypeInfo& info : kInfo) {
    if (info.dtype == dtype) return info.name;
  }
  return "undefined";
}

DType DTypeFromName(std::string_view name) {
  for (const DTypeInfo& info : kInfo) {
    if (info.name == name) return info.dtype;
  }
  return DType::kUndefined;
}

int DTypeBits(DType dtype) {
  for (const DTypeInfo& info : kInfo) {
    if (info.dtype == dtype) return info.bits;
  }
  return 0;
}

}  // namespace sinter

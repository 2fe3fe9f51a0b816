#include "base/dtype.h"

#include <gtest/gtest.h>

namespace sinter {
namespace {

struct Case {
  DType dtype;
  int onnx;  // TensorProto.DataType
  const char* name;
  int bits;
  bool is_float;
};

constexpr Case kCases[] = {
    {DType::kF32, 1, "f32", 32, true},   {DType::kU8, 2, "u8", 8, false},
    {DType::kI8, 3, "i8", 8, false},     {DType::kU16, 4, "u16", 16, false},
    {DType::kI16, 5, "i16", 16, false},  {DType::kI32, 6, "i32", 32, false},
    {DType::kI64, 7, "i64", 64, false},  {DType::kString, 8, "string", 0, false},
    {DType::kBool, 9, "bool", 8, false}, {DType::kF16, 10, "f16", 16, true},
    {DType::kF64, 11, "f64", 64, true},  {DType::kU32, 12, "u32", 32, false},
    {DType::kU64, 13, "u64", 64, false}, {DType::kBF16, 16, "bf16", 16, true},
    {DType::kU4, 21, "u4", 4, false},    {DType::kI4, 22, "i4", 4, false},
};

TEST(DType, Table) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(static_cast<int>(c.dtype), c.onnx);
    EXPECT_EQ(DTypeName(c.dtype), c.name);
    EXPECT_EQ(DTypeFromName(c.name), c.dtype);
    EXPECT_EQ(DTypeBits(c.dtype), c.bits);
    EXPECT_EQ(IsFloat(c.dtype), c.is_float);
  }
}

TEST(DType, Unknown) {
  EXPECT_EQ(DTypeName(DType::kUndefined), "undefined");
  EXPECT_EQ(DTypeName(static_cast<DType>(14)), "undefined");
  EXPECT_EQ(DTypeBits(static_cast<DType>(200)), 0);
  EXPECT_EQ(DTypeFromName("f8"), DType::kUndefined);
  EXPECT_EQ(DTypeFromName(""), DType::kUndefined);
}

TEST(DType, Bytes) {
  EXPECT_EQ(DTypeBytes(DType::kF32, 3), 12u);
  EXPECT_EQ(DTypeBytes(DType::kI64, 0), 0u);
  EXPECT_EQ(DTypeBytes(DType::kBool, 5), 5u);
  EXPECT_EQ(DTypeBytes(DType::kU4, 4), 2u);
  EXPECT_EQ(DTypeBytes(DType::kI4, 5), 3u);
}

}  // namespace
}  // namespace sinter

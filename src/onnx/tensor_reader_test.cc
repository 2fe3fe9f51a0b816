#include "onnx/tensor_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "onnx/test_messages.h"

namespace sinter::onnx {
namespace {

using graph::Tensor;
using testing::ElementsAre;
using testing::HasSubstr;

Tensor Read(const Proto& message) {
  ExternalData external(Source("model"), nullptr);
  return TensorReader(Source("model"), nullptr, &external).Read(ParseTensor(message.bytes), "w");
}

std::string TensorError(const Proto& message) {
  return ErrorOf([&] { Read(message); });
}

// Elements of `dtype` as stored numbers in the field that onnx.proto prescribes, and the values
// they stand for.
struct TypedCase {
  DType dtype;
  uint32_t field;
  std::vector<int64_t> stored;
  std::vector<double> want;
};

TEST(TensorReader, TypedIntegerFieldsOfEveryType) {
  using namespace proto::tensor;
  const TypedCase cases[] = {
      {DType::kU8, kInt32Data, {0, 255, 7}, {0, 255, 7}},
      {DType::kI8, kInt32Data, {-128, 127, -1}, {-128, 127, -1}},
      {DType::kU16, kInt32Data, {0, 65535, 7}, {0, 65535, 7}},
      {DType::kI16, kInt32Data, {-32768, 32767, -1}, {-32768, 32767, -1}},
      {DType::kI32, kInt32Data, {INT32_MIN, INT32_MAX, -1}, {INT32_MIN, INT32_MAX, -1}},
      {DType::kBool, kInt32Data, {0, 1, 1}, {0, 1, 1}},
      {DType::kF16, kInt32Data, {0x3c00, 0xc000, 0x3555}, {1, -2, 0.333251953125}},
      {DType::kBF16, kInt32Data, {0x3f80, 0xc000, 0x4040}, {1, -2, 3}},
      {DType::kU4, kInt32Data, {0xf1, 0x07}, {1, 15, 7}},
      {DType::kI4, kInt32Data, {0xf1, 0x08}, {1, -1, -8}},
      {DType::kI64, kInt64Data, {-5, 1ll << 40, 0}, {-5, 1099511627776.0, 0}},
      {DType::kU32, kUint64Data, {0, UINT32_MAX, 7}, {0, 4294967295.0, 7}},
      {DType::kU64, kUint64Data, {0, 1, 1ll << 40}, {0, 1, 1099511627776.0}},
  };
  for (const TypedCase& c : cases) {
    SCOPED_TRACE(DTypeName(c.dtype));
    const Proto header = TensorHeader("w", static_cast<int>(c.dtype), {3});
    Proto packed = header;
    packed.PackedInts(c.field, c.stored);
    Proto plain = header;
    for (const int64_t value : c.stored) plain.Int(c.field, value);
    for (const Proto& message : {packed, plain}) {
      const Tensor tensor = Read(message);
      EXPECT_EQ(tensor.dtype, c.dtype);
      EXPECT_THAT(tensor.shape, ElementsAre(3));
      EXPECT_EQ(tensor.ToDoubles(), c.want);
    }
  }
}

TEST(TensorReader, TypedFloatsAndDoubles) {
  const std::vector<float> floats = {1.5f, -0.0f};
  const std::vector<double> doubles = {0.1, -1e300};
  EXPECT_THAT(
      Read(TensorHeader("w", 1, {2}).PackedFixed(proto::tensor::kFloatData, floats)).ToDoubles(),
      ElementsAre(1.5, -0.0));
  EXPECT_THAT(
      Read(TensorHeader("w", 11, {2}).PackedFixed(proto::tensor::kDoubleData, doubles)).ToDoubles(),
      ElementsAre(0.1, -1e300));
  // The field comes in two parts, one of them not packed.
  EXPECT_THAT(Read(TensorHeader("w", 1, {3})
                       .Float(proto::tensor::kFloatData, 7)
                       .PackedFixed(proto::tensor::kFloatData, floats))
                  .ToDoubles(),
              ElementsAre(7, 1.5, -0.0));
}

TEST(TensorReader, RawDataOfEveryType) {
  for (const DType dtype : {DType::kF32, DType::kU8, DType::kI8, DType::kU16, DType::kI16,
                            DType::kI32, DType::kI64, DType::kBool, DType::kF16, DType::kF64,
                            DType::kU32, DType::kU64, DType::kBF16, DType::kU4, DType::kI4}) {
    SCOPED_TRACE(DTypeName(dtype));
    const std::vector<double> values = {1, 0, 1, 1, 0};
    const Tensor want = Tensor::FromDoubles(dtype, {5}, values);
    const std::string raw(reinterpret_cast<const char*>(want.bytes.data()), want.bytes.size());
    const Tensor got = Read(RawTensor("w", static_cast<int>(dtype), {5}, raw));
    EXPECT_EQ(got.dtype, dtype);
    EXPECT_EQ(got.ToDoubles(), values);
    EXPECT_THAT(TensorError(RawTensor("w", static_cast<int>(dtype), {5}, raw + "x")),
                HasSubstr("raw_data: got"));
  }
}

TEST(TensorReader, ScalarAndEmpty) {
  EXPECT_TRUE(Read(RawTensor("w", 2, {}, "a")).shape.empty());
  EXPECT_EQ(Read(RawTensor("w", 1, {0, 3}, "")).bytes.size(), 0u);
  EXPECT_EQ(Read(TensorHeader("w", 7, {0})).num_elements(), 0);
}

TEST(TensorReader, SharesRawDataWithAnOwner) {
  const auto message = std::make_shared<std::string>(RawTensor("w", 2, {4}, "abcd").bytes);
  ExternalData external(Source("model"), nullptr);
  const Tensor tensor =
      TensorReader(Source("model"), message, &external).Read(ParseTensor(*message), "w");
  EXPECT_EQ(tensor.owner, message);
  const auto* data = reinterpret_cast<const char*>(tensor.bytes.data());
  EXPECT_GE(data, message->data());
  EXPECT_LE(data + 4, message->data() + message->size());
}

TEST(TensorReader, RefusesTypesWithoutNumbers) {
  for (const auto& [type, name] : {std::pair(0, "undefined (0)"),
                                   {8, "string (8)"},
                                   {14, "complex64 (14)"},
                                   {17, "float8e4m3fn (17)"},
                                   {23, "float4e2m1 (23)"},
                                   {26, "int2 (26)"},
                                   {27, "unknown (27)"},
                                   {-1, "unknown (-1)"},
                                   {257, "unknown (257)"}}) {
    EXPECT_FALSE(TensorReader::Supports(type));
    EXPECT_THAT(TensorError(RawTensor("w", type, {1}, "abcd")),
                testing::StrEq(fmt::format(
                    "[onnx] model: tensor 'w': got element type {}, want a number or bool of 4 to "
                    "64 bits",
                    name)));
  }
}

TEST(TensorReader, RefusesWrongDimensions) {
  EXPECT_THAT(
      TensorError(RawTensor("w", 1, {2, -3}, "")),
      testing::StrEq("[onnx] model: tensor 'w' (f32, [2, -3]): dimension: got -3, want >= 0"));
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(TensorError(RawTensor("w", 1, {kMax, kMax}, "")),
              HasSubstr("got more than 2^56 elements"));
  EXPECT_THAT(TensorError(RawTensor("w", 1, {0, kMax, kMax}, "")),
              HasSubstr("got more than 2^56 elements"));
  EXPECT_THAT(TensorError(RawTensor("w", 1, {1ll << 62, 4}, "")),
              HasSubstr("got more than 2^56 elements"));
}

TEST(TensorReader, RefusesOtherSizesThanTheShapeWants) {
  EXPECT_THAT(TensorError(RawTensor("w", 1, {1ll << 50}, "abcd")),
              HasSubstr("raw_data: got 4 bytes, want 4503599627370496"));
  EXPECT_THAT(
      TensorError(TensorHeader("w", 7, {1ll << 40}).Int(proto::tensor::kInt64Data, 1)),
      HasSubstr("got 1 numbers in the type's own field and 0 in others, want 1099511627776 and 0"));
  EXPECT_THAT(TensorError(TensorHeader("w", 1, {})), HasSubstr("got 0 numbers"));
  EXPECT_THAT(TensorError(TensorHeader("w", 1, {1}).Int(proto::tensor::kInt32Data, 1)),
              HasSubstr("got 0 numbers in the type's own field and 1 in others"));
  EXPECT_THAT(
      TensorError(TensorHeader("w", 21, {3}).PackedInts(proto::tensor::kInt32Data, {1, 2, 3})),
      HasSubstr("got 3 numbers in the type's own field and 0 in others, want 2 and 0"));
}

TEST(TensorReader, RefusesNumbersOutOfRange) {
  EXPECT_THAT(TensorError(TensorHeader("w", 2, {1}).Int(proto::tensor::kInt32Data, 256)),
              HasSubstr("data: got 256, want 0 to 255"));
  EXPECT_THAT(TensorError(TensorHeader("w", 3, {1}).Int(proto::tensor::kInt32Data, -129)),
              HasSubstr("got -129"));
  EXPECT_THAT(TensorError(TensorHeader("w", 10, {1}).Int(proto::tensor::kInt32Data, -1)),
              HasSubstr("got -1"));
  EXPECT_THAT(TensorError(TensorHeader("w", 6, {1}).Int(proto::tensor::kInt32Data, 1ll << 31)),
              HasSubstr("got 2147483648"));
  EXPECT_THAT(TensorError(TensorHeader("w", 12, {1}).Int(proto::tensor::kUint64Data, 1ll << 32)),
              HasSubstr("got 4294967296"));
  EXPECT_THAT(TensorError(TensorHeader("w", 9, {1}).Int(proto::tensor::kInt32Data, 2)),
              HasSubstr("got 2, want 0 to 1"));
  EXPECT_THAT(TensorError(RawTensor("w", 9, {2}, "\x01\x03")),
              HasSubstr("data: got 3, want 0 or 1"));
}

TEST(TensorReader, RefusesSeveralPlacesOfData) {
  EXPECT_THAT(TensorError(RawTensor("w", 1, {1}, "abcd").Float(proto::tensor::kFloatData, 1)),
              HasSubstr("got data in several places"));
  EXPECT_THAT(
      TensorError(
          ExternalTensor("w", 1, {1}, {{"location", "f"}}).Bytes(proto::tensor::kRawData, "abcd")),
      HasSubstr("got data in several places"));
  EXPECT_THAT(TensorError(RawTensor("w", 1, {1}, "abcd").Bytes(proto::tensor::kStringData, "s")),
              HasSubstr("got data in several places"));
}

TEST(TensorReader, RefusesSegments) {
  EXPECT_THAT(TensorError(RawTensor("w", 1, {1}, "abcd").Sub(proto::tensor::kSegment, Proto())),
              HasSubstr("got a segment of a tensor"));
}

}  // namespace
}  // namespace sinter::onnx

// Conversions between constants and numbers.
#include "graph/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"

namespace sinter::graph {
namespace {

using ::testing::ElementsAre;

constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(NumElements, MultipliesAndRefusesNonsense) {
  EXPECT_EQ(NumElements({}), 1);
  EXPECT_EQ(NumElements({2, 3}), 6);
  EXPECT_EQ(NumElements({int64_t{1} << 62, 0, 4}), 0);
  EXPECT_EQ(NumElements({int64_t{1} << 62}), int64_t{1} << 62);
  EXPECT_THROW(NumElements({int64_t{1} << 62, 2}), Error);
  EXPECT_THROW(NumElements({3, -1}), Error);
  EXPECT_THROW(NumElements({0, -1}), Error);
}

TEST(Tensor, EveryTypeRoundTrips) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8,
                            DType::kI16, DType::kI32, DType::kI64, DType::kI4}) {
    const Tensor t = Tensor::FromDoubles(dtype, {3}, std::vector<double>{-3, 0, 7});
    EXPECT_THAT(t.ToDoubles(), ElementsAre(-3, 0, 7)) << DTypeName(dtype);
    EXPECT_THAT(t.ToInts(), ElementsAre(-3, 0, 7)) << DTypeName(dtype);
    EXPECT_EQ(t.bytes.size(), DTypeBytes(dtype, 3));
  }
  for (const DType dtype : {DType::kU8, DType::kU16, DType::kU32, DType::kU64, DType::kU4}) {
    const Tensor t = Tensor::FromInts(dtype, {3}, std::vector<int64_t>{3, 0, 15});
    EXPECT_THAT(t.ToInts(), ElementsAre(3, 0, 15)) << DTypeName(dtype);
  }
  const Tensor t = Tensor::FromDoubles(DType::kBool, {3}, std::vector<double>{0, 0.5, -2});
  EXPECT_THAT(t.ToInts(), ElementsAre(0, 1, 1));
}

TEST(Tensor, Int64IsExact) {
  const int64_t big = std::numeric_limits<int64_t>::max() - 1;
  EXPECT_THAT(Tensor::FromInts(DType::kI64, {}, std::vector<int64_t>{big}).ToInts(),
              ElementsAre(big));
}

TEST(Tensor, DoublesAreRoundedOnce) {
  // Just above the midpoint of 1 and its neighbour. Rounded to float first, each would be the
  // midpoint, which goes to the even one, 1.
  const auto f16 =
      Tensor::FromDoubles(DType::kF16, {1}, std::vector<double>{1 + 0x1p-11 + 0x1p-40});
  EXPECT_THAT(f16.ToDoubles(), ElementsAre(1 + 0x1p-10));
  const auto bf16 =
      Tensor::FromDoubles(DType::kBF16, {1}, std::vector<double>{1 + 0x1p-8 + 0x1p-40});
  EXPECT_THAT(bf16.ToDoubles(), ElementsAre(1 + 0x1p-7));
}

TEST(Tensor, FloatsTruncateAndSaturate) {
  const std::vector<double> values = {1.9, -1.9, 1e30, -1e30, kInf, std::nan("")};
  EXPECT_THAT(
      Tensor::FromDoubles(DType::kI64, {6}, values).ToInts(),
      ElementsAre(1, -1, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min(),
                  std::numeric_limits<int64_t>::max(), 0));
  EXPECT_THAT(Tensor::FromDoubles(DType::kI32, {6}, values).ToInts(),
              ElementsAre(1, -1, 2147483647, -2147483648, 2147483647, 0));
  const Tensor floats = Tensor::FromDoubles(DType::kF16, {2}, std::vector<double>{kInf, 2.5});
  EXPECT_THAT(floats.ToInts(), ElementsAre(std::numeric_limits<int64_t>::max(), 2));
}

TEST(Tensor, NibblesPackLowHalfFirst) {
  const Tensor t = Tensor::FromInts(DType::kU4, {3}, std::vector<int64_t>{1, 2, 15});
  EXPECT_THAT(t.bytes, ElementsAre(std::byte{0x21}, std::byte{0x0f}));
}

TEST(Tensor, TypesWithoutNumbersAreErrors) {
  EXPECT_THROW(Tensor::FromInts(DType::kString, {0}, {}), Error);
  EXPECT_THROW((Tensor{DType::kString, {0}, {}, nullptr}.ToInts()), Error);
}

TEST(Tensor, CountsMustAgree) {
  EXPECT_THROW(Tensor::FromInts(DType::kI64, {2}, std::vector<int64_t>{1}), BugError);
  EXPECT_THROW((Tensor{DType::kI64, {2}, {}, nullptr}.ToInts()), BugError);
  EXPECT_THROW((Tensor{DType::kI64, {int64_t{1} << 62}, {}, nullptr}.ToDoubles()), BugError);
}

}  // namespace
}  // namespace sinter::graph

#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sinter {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

bool IsNaNHalf(uint32_t half) { return (half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0; }

// Returns the value of a finite half by the definition of binary16: (-1)^sign 2^(e - 25) (1024 +
// mantissa). Exponent field 0 stands for a subnormal: (-1)^sign 2^-24 mantissa.
double ByDefinition(uint32_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

TEST(Half, EveryHalfHasItsValueAndComesBack) {
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const float value = HalfToFloat(static_cast<uint16_t>(half));
    if (IsNaNHalf(half)) {
      ASSERT_TRUE(std::isnan(value)) << half;
      const uint16_t back = FloatToHalf(value);
      ASSERT_TRUE(IsNaNHalf(back)) << half;
      ASSERT_EQ(back & 0x8000, half & 0x8000) << half;
    } else {
      if ((half & 0x7fff) == 0x7c00) {
        ASSERT_EQ(value, half & 0x8000 ? -kInf : kInf);
      } else {
        ASSERT_EQ(value, ByDefinition(half)) << half;
        ASSERT_EQ(std::signbit(value), half >> 15 != 0) << half;
      }
      ASSERT_EQ(FloatToHalf(value), half);
    }
  }
}

// Checks between each pair of neighbouring halves that the midpoint rounds to the even one, and
// that the floats on either side of the midpoint round to the nearer half.
TEST(Half, RoundsToNearestTiesToEven) {
  for (uint32_t half = 0; half < 0x7c00; ++half) {
    const double low = ByDefinition(half);
    const double high = half == 0x7bff ? 65536.0 : ByDefinition(half + 1);
    const auto middle = static_cast<float>((low + high) / 2);  // Exact: needs 12 bits.
    const uint32_t even = half % 2 == 0 ? half : half + 1;
    for (const uint32_t sign : {0u, 0x8000u}) {
      const float s = sign ? -1.0f : 1.0f;
      ASSERT_EQ(FloatToHalf(s * middle), sign | even) << half;
      ASSERT_EQ(FloatToHalf(s * std::nextafter(middle, 0.0f)), sign | half) << half;
      ASSERT_EQ(FloatToHalf(s * std::nextafter(middle, kInf)), sign | (half + 1)) << half;
    }
  }
}

TEST(Half, OverflowIsInfinity) {
  EXPECT_EQ(FloatToHalf(65504.0f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65519.996f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(FloatToHalf(-1e30f), 0xfc00);
  EXPECT_EQ(FloatToHalf(-kInf), 0xfc00);
}

TEST(Half, UnderflowIsSignedZero) {
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0);  // Tie between 0 and the least half.
  EXPECT_EQ(FloatToHalf(std::nextafter(0x1p-25f, 1.0f)), 1);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(FloatToHalf(-std::numeric_limits<float>::denorm_min()), 0x8000);
  EXPECT_EQ(FloatToHalf(-0.0f), 0x8000);
}

// The first two inputs are NaNs whose payload bits do not fit into a half. Truncating them would
// give infinity.
TEST(Half, NaNStaysNaN) {
  for (const uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fc00000u, 0xffffffffu}) {
    const uint16_t half = FloatToHalf(std::bit_cast<float>(bits));
    EXPECT_TRUE(IsNaNHalf(half));
    EXPECT_EQ(half >> 15, bits >> 31);
  }
}

TEST(BFloat16, EveryValueComesBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = BFloat16ToFloat(static_cast<uint16_t>(bits));
    ASSERT_EQ(std::bit_cast<uint32_t>(value), bits << 16);
    const uint16_t back = FloatToBFloat16(value);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(BFloat16ToFloat(back))) << bits;
    } else {
      ASSERT_EQ(back, bits);
    }
  }
}

TEST(BFloat16, RoundsToNearestTiesToEven) {
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {
    const uint32_t middle = bits << 16 | 0x8000;
    ASSERT_EQ(FloatToBFloat16(std::bit_cast<float>(middle)), bits + bits % 2) << bits;
    ASSERT_EQ(FloatToBFloat16(std::bit_cast<float>(middle - 1)), bits);
    ASSERT_EQ(FloatToBFloat16(std::bit_cast<float>(middle + 1)), bits + 1);
    ASSERT_EQ(FloatToBFloat16(std::bit_cast<float>(middle | 0x80000000u)),
              (bits + bits % 2) | 0x8000);
  }
}

TEST(BFloat16, OverflowAndNaN) {
  EXPECT_EQ(FloatToBFloat16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(FloatToBFloat16(-kInf), 0xff80);
  EXPECT_TRUE(std::isnan(BFloat16ToFloat(FloatToBFloat16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(BFloat16ToFloat(FloatToBFloat16(std::bit_cast<float>(0x7fffffffu)))));
}

TEST(Half, DoublesAreRoundedOnce) {
  for (uint32_t half = 0; half < 0x7c00; half += 7) {
    const double low = ByDefinition(half);
    const double high = half == 0x7bff ? 65536.0 : ByDefinition(half + 1);
    const double middle = (low + high) / 2;
    for (const uint32_t sign : {0u, 0x8000u}) {
      const double s = sign ? -1 : 1;
      ASSERT_EQ(DoubleToHalf(s * low), sign | half);
      ASSERT_EQ(DoubleToHalf(s * middle), sign | (half + half % 2)) << half;
      ASSERT_EQ(DoubleToHalf(s * std::nextafter(middle, 0.0)), sign | half) << half;
      ASSERT_EQ(DoubleToHalf(s * std::nextafter(middle, 1e9)), sign | (half + 1)) << half;
    }
  }
  EXPECT_EQ(DoubleToHalf(1e300), 0x7c00);
  EXPECT_EQ(DoubleToHalf(-1e-300), 0x8000);
  EXPECT_EQ(DoubleToHalf(std::numeric_limits<double>::infinity()), 0x7c00);
  EXPECT_TRUE(IsNaNHalf(DoubleToHalf(std::nan(""))));
  EXPECT_EQ(DoubleToBFloat16(1 + 0x1p-8 + 0x1p-50), 0x3f81);
  EXPECT_EQ(DoubleToBFloat16(1 + 0x1p-8), 0x3f80);
  EXPECT_EQ(DoubleToBFloat16(-1e300), 0xff80);
}

}  // namespace
}  // namespace sinter

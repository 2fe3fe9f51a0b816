// Conversions between float and IEEE 754 binary16 or bfloat16 on the CPU. Conversions from float
// round to nearest, ties to even. NaN stays NaN, infinity stays infinity.
#pragma once

#include <bit>
#include <cstdint>

namespace sinter {

inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t rest = half & 0x7fffu;
  if (rest >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest >= 0x0400u) return std::bit_cast<float>(sign | ((rest << 13) + 0x38000000u));
  // Subnormal: rest * 2^-24 is exact in float.
  const float magnitude = static_cast<float>(rest) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

inline uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u)
    return sign | 0x7c00u;  // From 65520 on, the nearest half is infinity.
  if (magnitude < 0x38800000u) {
    // Below 2^-14 the half is subnormal. Adding 0.5 rounds the value to a multiple of 2^-24, so the
    // lowest 10 bits of the sum's mantissa are the half's mantissa.
    const float rounded = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(rounded) - 0x3f000000u);
  }
  const uint32_t odd = magnitude >> 13 & 1u;
  return sign | static_cast<uint16_t>((magnitude - 0x38000000u + 0xfffu + odd) >> 13);
}

// Rounds to one of the two neighbouring floats, the one with an odd mantissa, unless the value is a
// float. Rounding the result again, to fewer bits, gives what rounding the value at once gives.
inline float RoundToOdd(double value) {
  const auto nearest = static_cast<float>(value);
  const uint32_t bits = std::bit_cast<uint32_t>(nearest);
  if (static_cast<double>(nearest) == value || value != value || (bits & 1u) != 0) return nearest;
  const bool below = (value < 0 ? -static_cast<double>(nearest) : static_cast<double>(nearest)) <
                     (value < 0 ? -value : value);
  return std::bit_cast<float>(below ? bits + 1 : bits - 1);
}

inline uint16_t DoubleToHalf(double value) { return FloatToHalf(RoundToOdd(value)); }

inline float BFloat16ToFloat(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

inline uint16_t FloatToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

inline uint16_t DoubleToBFloat16(double value) { return FloatToBFloat16(RoundToOdd(value)); }

}  // namespace sinter

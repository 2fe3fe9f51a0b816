// Blockwise integer quantization, round to nearest, in MatMulNBits' layout (kernels/matmul_nbits).
//
// A block of `block_size` neighbours of a row shares a scale s and a zero point z:
// w ~ (code - z) * s, code in [0, 2^bits).
//   symmetric   z = 2^(bits - 1); s = m / -z, where m is the block's value of the largest
//               magnitude. Code 0 then represents m exactly, and every code is used.
//   asymmetric  s = (max - min) / (2^bits - 1), z = round(-min / s), where the range from min to
//               max is widened to contain 0.
// Each scale is first rounded to its stored type, and the codes are chosen for the rounded scale.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/dtype.h"

namespace sinter::convert {

struct QuantFormat {
  int bits = 4;             // 4 or 8
  int64_t block_size = 32;  // a power of two from 16 to 256
  bool zero_points = false;
  DType scale_dtype = DType::kF16;  // kF16 or kF32
  bool operator==(const QuantFormat&) const = default;
};

// Sizes of one row of `columns` weights. `whole_blocks` pads the codes to whole blocks.
struct QuantRow {
  QuantRow(const QuantFormat& format, int64_t columns, bool whole_blocks);
  int64_t columns, blocks;
  int64_t code_bytes;  // padded to whole blocks (MatMulNBits) or to a whole byte (QMoE)
  int64_t scale_bytes, zero_point_bytes;
};

// Quantizes one row of row.columns weights. `zero_points` is null for a format without them. Throws
// Error("convert"), which contains `name`, if a weight is not finite or a scale exceeds f16.
void QuantizeRow(const QuantFormat& format, const QuantRow& row, const float* weights,
                 std::byte* codes, std::byte* scales, std::byte* zero_points,
                 std::string_view name);

// Writes a row of random codes and scales, which depend on `seed` alone. The weights have mean 0
// and standard deviation `deviation`.
void RandomRow(const QuantFormat& format, const QuantRow& row, uint64_t seed, double deviation,
               std::byte* codes, std::byte* scales, std::byte* zero_points);

// A stream of random bits (SplitMix64, https://prng.di.unimi.it/splitmix64.c).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  // Returns a uniform number in [-1, 1).
  float Uniform() { return static_cast<float>(static_cast<int64_t>(Next()) >> 40) * 0x1p-23f; }

 private:
  uint64_t state_;
};

}  // namespace sinter::convert

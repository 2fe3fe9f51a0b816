#include "convert/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/half.h"

namespace sinter::convert {
namespace {

constexpr int64_t kMaxBlock = 256;

// Stores the scale of block `index` and returns it rounded to the stored type.
float StoreScale(const QuantFormat& format, float scale, int64_t index, std::byte* scales,
                 std::string_view name) {
  if (format.scale_dtype == DType::kF16) {
    const uint16_t half = FloatToHalf(scale);
    std::memcpy(scales + index * 2, &half, 2);
    scale = HalfToFloat(half);
    if (!std::isfinite(scale)) {
      throw Error("convert", "tensor '{}': got weights too large for f16 scales, want --dtype f32",
                  name);
    }
  } else {
    std::memcpy(scales + index * 4, &scale, 4);
  }
  return scale;
}

void StoreZeroPoint(const QuantFormat& format, int zero, int64_t index, std::byte* zero_points) {
  if (format.bits == 8) {
    zero_points[index] = static_cast<std::byte>(zero);
  } else {
    zero_points[index / 2] |= static_cast<std::byte>(zero << (index % 2 * 4));
  }
}

// Stores one block's codes in `bytes` bytes. With 4 bits a byte holds two codes, low nibble first.
void StoreCodes(const QuantFormat& format, const std::array<uint8_t, kMaxBlock>& codes,
                int64_t bytes, std::byte* out) {
  if (format.bits == 8) {
    std::memcpy(out, codes.data(), static_cast<size_t>(bytes));
    return;
  }
  for (int64_t i = 0; i < bytes; ++i) {
    out[i] = static_cast<std::byte>(codes[2 * i] | codes[2 * i + 1] << 4);
  }
}

}  // namespace

QuantRow::QuantRow(const QuantFormat& format, int64_t columns, bool whole_blocks)
    : columns(columns), blocks((columns + format.block_size - 1) / format.block_size) {
  const int64_t codes = whole_blocks ? blocks * format.block_size : columns;
  code_bytes = (codes * format.bits + 7) / 8;
  scale_bytes = blocks * static_cast<int64_t>(DTypeBytes(format.scale_dtype, 1));
  zero_point_bytes = format.zero_points ? (blocks * format.bits + 7) / 8 : 0;
}

void QuantizeRow(const QuantFormat& format, const QuantRow& row, const float* weights,
                 std::byte* codes, std::byte* scales, std::byte* zero_points,
                 std::string_view name) {
  const int64_t block_bytes = format.block_size * format.bits / 8;
  const int levels = (1 << format.bits) - 1, middle = 1 << (format.bits - 1);
  if (zero_points != nullptr)
    std::memset(zero_points, 0, static_cast<size_t>(row.zero_point_bytes));
  std::array<uint8_t, kMaxBlock> block;
  for (int64_t index = 0; index < row.blocks; ++index) {
    const float* x = weights + index * format.block_size;
    const int64_t count = std::min(format.block_size, row.columns - index * format.block_size);
    float low = 0, high = 0, sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      low = std::min(low, x[i]);
      high = std::max(high, x[i]);
      // 0 * x is NaN for an infinity or a NaN, which min and max may drop.
      sum += 0 * x[i];
    }
    if (sum != 0) throw Error("convert", "tensor '{}': got a weight that is not finite", name);
    float scale;
    int zero = middle;
    if (format.zero_points) {
      scale = StoreScale(format, (high - low) / static_cast<float>(levels), index, scales, name);
      zero = scale == 0 ? 0 : std::clamp(static_cast<int>(std::lround(-low / scale)), 0, levels);
      StoreZeroPoint(format, zero, index, zero_points);
    } else {
      const float peak = high >= -low ? high : low;
      scale = StoreScale(format, peak / static_cast<float>(-middle), index, scales, name);
    }
    const float inverse = scale == 0 ? 0 : 1 / scale;
    // The inverse of a scale below 1 / FLT_MAX overflows. The block's weights are then so small
    // that they are stored as zeros.
    const float factor = std::isfinite(inverse) ? inverse : 0;
    const float offset = static_cast<float>(zero) + 0.5f;
    for (int64_t i = 0; i < count; ++i) {
      block[i] = static_cast<uint8_t>(
          std::clamp(x[i] * factor + offset, 0.0f, static_cast<float>(levels)));
    }
    std::fill(block.begin() + count, block.end(), static_cast<uint8_t>(zero));
    const int64_t begin = index * block_bytes;
    StoreCodes(format, block, std::min(block_bytes, row.code_bytes - begin), codes + begin);
  }
}

void RandomRow(const QuantFormat& format, const QuantRow& row, uint64_t seed, double deviation,
               std::byte* codes, std::byte* scales, std::byte* zero_points) {
  Random random(seed);
  const bool nibbles = format.bits == 4;
  const uint64_t lowest = nibbles ? 0x1111111111111111u : 0x0101010101010101u;
  for (int64_t i = 0; i < row.code_bytes; i += 8) {
    uint64_t word = random.Next();
    // Code 0 has no counterpart of the opposite sign, so it would make the mean nonzero. It becomes
    // the middle code, which is weight 0.
    uint64_t any = word | word >> 1;
    any |= any >> 2;
    if (!nibbles) any |= any >> 4;
    word |= (~any & lowest) << (format.bits - 1);
    std::memcpy(codes + i, &word, static_cast<size_t>(std::min<int64_t>(8, row.code_bytes - i)));
  }
  // The codes are uniform over 1 to 2^bits - 1, except that the middle m is twice as likely. Their
  // variance about m is (m - 1) (2 m - 1) / 6, which is 17.5 for 4 bits and 5397.5 for 8.
  const double middle = std::exp2(format.bits - 1);
  const auto scale = static_cast<float>(deviation / std::sqrt((middle - 1) * (2 * middle - 1) / 6));
  for (int64_t index = 0; index < row.blocks; ++index) {
    const float one = scale * (1 + 0.25f * random.Uniform());
    if (format.scale_dtype == DType::kF16) {
      const uint16_t half = FloatToHalf(one);
      std::memcpy(scales + index * 2, &half, 2);
    } else {
      std::memcpy(scales + index * 4, &one, 4);
    }
  }
  if (zero_points == nullptr) return;
  std::memset(zero_points, nibbles ? 0x88 : 0x80, static_cast<size_t>(row.zero_point_bytes));
}

}  // namespace sinter::convert

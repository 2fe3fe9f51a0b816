#include "convert/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "convert/parallel.h"
#include "convert/testing.h"
#include "convert/weights.h"

namespace sinter::convert {
namespace {

using testing::HasSubstr;

struct Quantized {
  std::vector<std::byte> codes, scales, zero_points;
};

Quantized QuantizeOf(const QuantFormat& format, const std::vector<float>& weights,
                     bool whole_blocks = true) {
  const QuantRow row(format, static_cast<int64_t>(weights.size()), whole_blocks);
  Quantized q;
  q.codes.resize(static_cast<size_t>(row.code_bytes));
  q.scales.resize(static_cast<size_t>(row.scale_bytes));
  q.zero_points.resize(static_cast<size_t>(row.zero_point_bytes));
  QuantizeRow(format, row, weights.data(), q.codes.data(), q.scales.data(),
              format.zero_points ? q.zero_points.data() : nullptr, "w");
  return q;
}

int CodeAt(const std::vector<std::byte>& bytes, int bits, size_t i) {
  if (bits == 8) return std::to_integer<int>(bytes[i]);
  return std::to_integer<int>(bytes[i / 2]) >> (i % 2 * 4) & 15;
}

float ScaleAt(const QuantFormat& format, const std::vector<std::byte>& scales, size_t i) {
  if (format.scale_dtype == DType::kF32) {
    float scale;
    std::memcpy(&scale, scales.data() + 4 * i, 4);
    return scale;
  }
  uint16_t half;
  std::memcpy(&half, scales.data() + 2 * i, 2);
  return HalfToFloat(half);
}

// Returns weight `i` as MatMulNBits decodes it.
float Dequantize(const QuantFormat& format, const Quantized& q, size_t i) {
  const size_t block = i / static_cast<size_t>(format.block_size);
  const int zero =
      format.zero_points ? CodeAt(q.zero_points, format.bits, block) : 1 << (format.bits - 1);
  return static_cast<float>(CodeAt(q.codes, format.bits, i) - zero) *
         ScaleAt(format, q.scales, block);
}

TEST(Quantize, RoundsToTheNearest) {
  Random random(3);
  for (const int bits : {4, 8}) {
    for (const int64_t block : {16, 32, 64, 128, 256}) {
      for (const bool zero_points : {false, true}) {
        for (const DType dtype : {DType::kF16, DType::kF32}) {
          for (const size_t columns : {1u, 31u, 96u, 5u * 7 * 11}) {
            const QuantFormat format = {bits, block, zero_points, dtype};
            std::vector<float> weights(columns);
            for (float& weight : weights) weight = random.Uniform() + 0.3f;
            const Quantized q = QuantizeOf(format, weights);
            for (size_t i = 0; i < columns; ++i) {
              const float scale =
                  std::abs(ScaleAt(format, q.scales, i / static_cast<size_t>(block)));
              // The error is at most half a step with zero points. Without them it is up to a whole
              // step, because one end of the symmetric range has one code fewer. The error of a
              // scale rounded to f16 counts once for each step of a weight.
              const float steps = zero_points ? 0.5f : 1.0f;
              const float rounding =
                  dtype == DType::kF16 ? std::exp2(-11.0f) * std::exp2(float(bits)) : 0;
              EXPECT_NEAR(Dequantize(format, q, i), weights[i], scale * (steps + rounding + 1e-3f))
                  << bits << " " << block << " " << zero_points << " " << columns << " " << i;
            }
          }
        }
      }
    }
  }
}

TEST(Quantize, MeetsTheLargestWeight) {
  std::vector<float> weights(32, 0.25f);
  weights[5] = -4;
  weights[6] = 3.5f;
  const QuantFormat format = {4, 32, false, DType::kF32};
  const Quantized q = QuantizeOf(format, weights);
  EXPECT_EQ(Dequantize(format, q, 5), -4);
  EXPECT_EQ(Dequantize(format, q, 6), 3.5f);
  EXPECT_EQ(CodeAt(q.codes, 4, 5), 0);
  EXPECT_EQ(std::to_integer<int>(q.codes[2]) & 15, CodeAt(q.codes, 4, 4)) << "low nibble first";
}

TEST(Quantize, PadsWithZeros) {
  const QuantFormat format = {4, 16, false, DType::kF16};
  const Quantized whole = QuantizeOf(format, std::vector<float>(20, 1.0f));
  ASSERT_EQ(whole.codes.size(), 16u);
  for (size_t i = 20; i < 32; ++i) EXPECT_EQ(CodeAt(whole.codes, 4, i), 8);
  EXPECT_EQ(QuantizeOf(format, std::vector<float>(20, 1.0f), false).codes.size(), 10u);
}

TEST(Quantize, ZerosAndTinyWeights) {
  for (const bool zero_points : {false, true}) {
    for (const float value : {0.0f, 1e-30f, -1e-40f}) {
      const QuantFormat format = {4, 16, zero_points, DType::kF16};
      EXPECT_EQ(Dequantize(format, QuantizeOf(format, std::vector<float>(16, value)), 3), 0);
    }
  }
}

TEST(Quantize, RefusesWhatIsNotFinite) {
  for (const float bad : {std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(), std::nanf("")}) {
    std::vector<float> weights(40, 1.0f);
    weights[37] = bad;
    EXPECT_EQ(ErrorOf([&] { QuantizeOf({}, weights); }),
              "[convert] tensor 'w': got a weight that is not finite");
  }
  EXPECT_THAT(ErrorOf([&] { QuantizeOf({}, std::vector<float>(32, 1e9f)); }),
              HasSubstr("tensor 'w': got weights too large for f16 scales, want --dtype f32"));
}

TEST(Quantize, RandomRowsHaveTheirDeviation) {
  for (const int bits : {4, 8}) {
    for (const bool zero_points : {false, true}) {
      const QuantFormat format = {bits, 32, zero_points, DType::kF16};
      const QuantRow row(format, 65536, true);
      Quantized q;
      q.codes.resize(static_cast<size_t>(row.code_bytes));
      q.scales.resize(static_cast<size_t>(row.scale_bytes));
      q.zero_points.resize(static_cast<size_t>(row.zero_point_bytes));
      RandomRow(format, row, 5, 0.02, q.codes.data(), q.scales.data(),
                zero_points ? q.zero_points.data() : nullptr);
      double sum = 0, squares = 0;
      for (size_t i = 0; i < 65536; ++i) {
        const double weight = Dequantize(format, q, i);
        sum += weight;
        squares += weight * weight;
      }
      // The mean may be off by four standard errors of 65536 samples. The spread of the scales adds
      // 1 percent to the deviation.
      EXPECT_NEAR(sum / 65536, 0, 4 * 0.02 / 256);
      EXPECT_NEAR(std::sqrt(squares / 65536), 0.02, 0.02 * 0.03);
    }
  }
}

Matrix Counting(int64_t rows, float base) {
  return {"m", rows, 2, [base](int64_t first, int64_t count, float* out) {
            for (int64_t i = 0; i < 2 * count; ++i)
              out[i] = base + static_cast<float>(2 * first + i);
          }};
}

std::vector<float> ReadAll(const Matrix& matrix, int64_t at_once) {
  std::vector<float> out(static_cast<size_t>(matrix.rows * matrix.columns));
  for (int64_t row = 0; row < matrix.rows; row += at_once) {
    matrix.read(row, std::min(at_once, matrix.rows - row), out.data() + row * matrix.columns);
  }
  return out;
}

TEST(Matrix, StacksInterleavesAndSlices) {
  const Matrix stack = Stack({Counting(2, 0), Counting(1, 100), Counting(3, 200)});
  const std::vector<float> want = {0, 1, 2, 3, 100, 101, 200, 201, 202, 203, 204, 205};
  for (const int64_t at_once : {1, 2, 4, 6}) EXPECT_EQ(ReadAll(stack, at_once), want) << at_once;
  EXPECT_EQ(ReadAll(Interleave(Counting(2, 0), Counting(2, 100)), 3),
            (std::vector<float>{0, 1, 100, 101, 2, 3, 102, 103}));
  EXPECT_EQ(ReadAll(Slice(stack, 1, 3), 2), (std::vector<float>{2, 3, 100, 101, 200, 201}));
}

TEST(Matrix, RandomRowsStayWithTheirParts) {
  RandomWeights weights(1);
  const Matrix a = weights.Rows("a", 2, 4), b = weights.Rows("b", 2, 4);
  const Matrix stack = Stack({a, b}), both = Interleave(a, b), slice = Slice(stack, 1, 2);
  EXPECT_EQ(stack.seed(1), a.seed(1));
  EXPECT_EQ(stack.seed(3), b.seed(1));
  EXPECT_EQ(both.seed(2), a.seed(1));
  EXPECT_EQ(both.seed(3), b.seed(1));
  EXPECT_EQ(slice.seed(0), a.seed(1));
  EXPECT_EQ(slice.seed(1), b.seed(0));
  EXPECT_NE(a.seed(0), b.seed(0));
}

TEST(Weights, Mxfp4) {
  TestTensors tensors;
  std::string codes;
  for (int i = 0; i < 16; ++i) codes += static_cast<char>((15 - i) << 4 | i);
  tensors.AddBytes("e_blocks", "U8", {1, 1, 1, 16}, codes);
  tensors.AddBytes("e_scales", "U8", {1, 1, 1}, std::string(1, '\x80'));
  TestFolder folder;
  folder.Write("model.safetensors", tensors.File());
  const CheckpointTensors read = ReadCheckpoint(folder.path());
  CheckpointWeights weights(read);
  const std::vector<float> row = ReadAll(weights.Mxfp4("e", 1, 1, 32), 1);
  // The scale is 2^(128 - 127); the low nibble comes first.
  EXPECT_THAT(std::vector<float>(row.begin(), row.begin() + 8),
              testing::ElementsAre(0, -12, 1, -8, 2, -6, 3, -4));
  EXPECT_THAT(ErrorOf([&] { weights.Mxfp4("e", 1, 1, 40); }), HasSubstr("want a multiple of 32"));
}

TEST(Weights, Errors) {
  TestTensors tensors;
  tensors.Add("w", {2, 3}, 1);
  tensors.AddRandomBytes("u", {4}, 0, 9);
  const float bad = std::nanf("");
  tensors.AddBytes("n", "F32", {1}, std::string(reinterpret_cast<const char*>(&bad), 4));
  TestFolder folder;
  folder.Write("model.safetensors", tensors.File());
  const CheckpointTensors read = ReadCheckpoint(folder.path());
  CheckpointWeights weights(read);
  EXPECT_EQ(ErrorOf([&] { weights.Rows("x", 2, 3); }),
            "[convert] tensor 'x': got no such tensor in the checkpoint, want one of shape [2, 3]");
  EXPECT_EQ(ErrorOf([&] { weights.Rows("w", 3, 2); }),
            "[convert] tensor 'w': got shape [2, 3], want [3, 2] as config.json says");
  EXPECT_EQ(ErrorOf([&] { weights.Vector("u", 4, 0, 0); }),
            "[convert] tensor 'u': got type U8, want BF16, F16 or F32");
  EXPECT_EQ(ErrorOf([&] { weights.Vector("n", 1, 0, 0); }),
            "[convert] tensor 'n': got a weight that is not finite");
  EXPECT_THAT(weights.Unused(), testing::ElementsAre("u", "w"));
}

TEST(ParallelFor, CoversEverythingAndPassesErrorsOn) {
  std::vector<int> seen(1000);
  ParallelFor(1000, 7, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
  });
  EXPECT_EQ(seen, std::vector<int>(1000, 1));
  EXPECT_EQ(ErrorOf([&] {
              ParallelFor(100, 1, [](int64_t begin, int64_t) {
                if (begin == 40) throw Error("convert", "here");
              });
            }),
            "[convert] here");
}

}  // namespace
}  // namespace sinter::convert

#include "convert/tensor_sources.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "base/half.h"
#include "convert/parallel.h"

namespace sinter::convert {
namespace {

// Weights that are in memory at a time: 32 MiB as f32.
constexpr int64_t kChunkWeights = int64_t{8} << 20;
// Weights that a thread takes at a time.
constexpr int64_t kGrainWeights = int64_t{1} << 17;

int64_t RowsFor(int64_t weights, const Matrix& matrix) {
  return std::clamp<int64_t>(weights / std::max<int64_t>(matrix.columns, 1), 1,
                             std::max<int64_t>(matrix.rows, 1));
}

struct Made {
  std::vector<std::byte> scales, zero_points;
  bool done = false;
};

void StoreFloats(DType dtype, const float* values, int64_t count, std::byte* out,
                 const std::string& name) {
  bool finite = true;
  if (dtype == DType::kF16) {
    for (int64_t i = 0; i < count; ++i) {
      const uint16_t half = FloatToHalf(values[i]);
      finite &= (half & 0x7c00u) != 0x7c00u;
      std::memcpy(out + 2 * i, &half, 2);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) finite &= std::isfinite(values[i]);
    std::memcpy(out, values, static_cast<size_t>(count) * 4);
  }
  if (!finite) {
    throw Error("convert", "tensor '{}': got a weight that is not a finite {}", name,
                DTypeName(dtype));
  }
}

}  // namespace

QuantizedSources Quantized(const QuantFormat& format, const QuantRow& row, Matrix matrix) {
  const auto made = std::make_shared<Made>();
  const auto write_codes = [format, row, matrix, made](const onnx::ByteSink& write) {
    made->scales.resize(static_cast<size_t>(matrix.rows * row.scale_bytes));
    made->zero_points.resize(static_cast<size_t>(matrix.rows * row.zero_point_bytes));
    const int64_t chunk = RowsFor(kChunkWeights, matrix), grain = RowsFor(kGrainWeights, matrix);
    std::vector<std::byte> codes;
    for (int64_t begin = 0; begin < matrix.rows; begin += chunk) {
      const int64_t rows = std::min(chunk, matrix.rows - begin);
      codes.resize(static_cast<size_t>(rows * row.code_bytes));
      ParallelFor(rows, grain, [&](int64_t from, int64_t to) {
        std::vector<float> weights;
        if (matrix.read) {
          weights.resize(static_cast<size_t>((to - from) * matrix.columns));
          matrix.read(begin + from, to - from, weights.data());
        }
        for (int64_t i = from; i < to; ++i) {
          std::byte* scales = made->scales.data() + (begin + i) * row.scale_bytes;
          std::byte* zero_points =
              format.zero_points ? made->zero_points.data() + (begin + i) * row.zero_point_bytes
                                 : nullptr;
          std::byte* out = codes.data() + i * row.code_bytes;
          if (matrix.read) {
            QuantizeRow(format, row, weights.data() + (i - from) * matrix.columns, out, scales,
                        zero_points, matrix.name);
          } else {
            RandomRow(format, row, matrix.seed(begin + i), matrix.deviation, out, scales,
                      zero_points);
          }
        }
      });
      write(codes);
    }
    made->done = true;
  };
  const auto write_made = [made](std::vector<std::byte> Made::*what) {
    return [made, what](const onnx::ByteSink& write) {
      SINTER_CHECK(made->done, "scales and zero points are made with the codes");
      write((*made).*what);
      std::vector<std::byte>().swap((*made).*what);
    };
  };
  return {write_codes, write_made(&Made::scales), write_made(&Made::zero_points)};
}

onnx::TensorSource Plain(DType dtype, Matrix matrix, double deviation) {
  return [dtype, deviation, matrix = std::move(matrix)](const onnx::ByteSink& write) {
    const int64_t chunk = RowsFor(kChunkWeights, matrix), grain = RowsFor(kGrainWeights, matrix);
    const auto row_bytes = static_cast<int64_t>(DTypeBytes(dtype, 1)) * matrix.columns;
    // Uniform numbers in [-1, 1) have the standard deviation sqrt(1/3).
    const auto spread = static_cast<float>(deviation * std::sqrt(3.0));
    std::vector<std::byte> bytes;
    for (int64_t begin = 0; begin < matrix.rows; begin += chunk) {
      const int64_t rows = std::min(chunk, matrix.rows - begin);
      bytes.resize(static_cast<size_t>(rows * row_bytes));
      ParallelFor(rows, grain, [&](int64_t from, int64_t to) {
        std::vector<float> weights(static_cast<size_t>((to - from) * matrix.columns));
        if (matrix.read) {
          matrix.read(begin + from, to - from, weights.data());
        } else {
          for (int64_t i = from; i < to; ++i) {
            Random random(matrix.seed(begin + i));
            float* row = weights.data() + (i - from) * matrix.columns;
            for (int64_t j = 0; j < matrix.columns; ++j) row[j] = spread * random.Uniform();
          }
        }
        StoreFloats(dtype, weights.data(), static_cast<int64_t>(weights.size()),
                    bytes.data() + from * row_bytes, matrix.name);
      });
      write(bytes);
    }
  };
}

onnx::TensorSource Transposed(DType dtype, Matrix matrix) {
  return [dtype, matrix = std::move(matrix)](const onnx::ByteSink& write) {
    SINTER_CHECK(matrix.read, "random weights are made quantized");
    std::vector<float> rows(static_cast<size_t>(matrix.rows * matrix.columns)),
        columns(rows.size());
    matrix.read(0, matrix.rows, rows.data());
    for (int64_t i = 0; i < matrix.rows; ++i) {
      for (int64_t j = 0; j < matrix.columns; ++j) {
        columns[j * matrix.rows + i] = rows[i * matrix.columns + j];
      }
    }
    write(FloatBytes(dtype, columns, matrix.name));
  };
}

std::vector<std::byte> FloatBytes(DType dtype, std::span<const float> values,
                                  const std::string& name) {
  std::vector<std::byte> bytes(DTypeBytes(dtype, values.size()));
  StoreFloats(dtype, values.data(), static_cast<int64_t>(values.size()), bytes.data(), name);
  return bytes;
}

}  // namespace sinter::convert

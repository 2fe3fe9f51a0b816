#include "convert/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "base/half.h"
#include "convert/quantize.h"

namespace sinter::convert {
namespace {

template <typename T>
T Load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

float Same(float x) { return x; }
float Narrow(double x) { return static_cast<float>(x); }

template <typename T, float (*convert)(T)>
void ToFloats(const std::byte* bytes, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    out[i] = convert(Load<T>(bytes + i * static_cast<int64_t>(sizeof(T))));
  }
}

// Converts elements [first, first + count) to f32.
void ToFloats(const CheckpointTensor& tensor, int64_t first, int64_t count, float* out) {
  const std::byte* bytes =
      tensor.bytes.data() + first * static_cast<int64_t>(DTypeBytes(tensor.dtype, 1));
  switch (tensor.dtype) {
    case DType::kBF16:
      return ToFloats<uint16_t, BFloat16ToFloat>(bytes, count, out);
    case DType::kF16:
      return ToFloats<uint16_t, HalfToFloat>(bytes, count, out);
    case DType::kF32:
      return ToFloats<float, Same>(bytes, count, out);
    case DType::kF64:
      return ToFloats<double, Narrow>(bytes, count, out);
    default:
      SINTER_CHECK(false, "type {} has no conversion", DTypeName(tensor.dtype));
  }
}

constexpr int64_t kMxfp4Block = 32;
// Values of the 16 E2M1 codes; bit 3 is the sign.
constexpr std::array<float, 16> kMxfp4Values = {0,     0.5f,  1,  1.5f,  2,  3,  4,  6,
                                                -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};

}  // namespace

Matrix Stack(std::vector<Matrix> parts) {
  SINTER_CHECK(!parts.empty());
  Matrix all = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) {
    SINTER_CHECK(parts[i].columns == all.columns);
    all.rows += parts[i].rows;
  }
  if (parts.size() == 1) return all;
  if (!all.read) {
    all.seed = [parts = std::move(parts)](int64_t row) {
      size_t part = 0;
      while (row >= parts[part].rows) row -= parts[part++].rows;
      return parts[part].seed(row);
    };
    return all;
  }
  all.read = [parts = std::move(parts)](int64_t first, int64_t count, float* out) {
    for (const Matrix& part : parts) {
      const int64_t here = std::min(count, part.rows - first);
      if (here > 0) {
        part.read(first, here, out);
        out += here * part.columns;
        count -= here;
        first = 0;
      } else {
        first -= part.rows;
      }
      if (count == 0) return;
    }
  };
  return all;
}

Matrix Interleave(Matrix a, Matrix b) {
  SINTER_CHECK(a.rows == b.rows && a.columns == b.columns);
  Matrix both = a;
  both.rows *= 2;
  if (!both.read) {
    both.seed = [a, b](int64_t row) { return (row % 2 == 0 ? a : b).seed(row / 2); };
    return both;
  }
  both.read = [a = std::move(a), b = std::move(b)](int64_t first, int64_t count, float* out) {
    for (int64_t row = first; row < first + count; ++row, out += a.columns) {
      (row % 2 == 0 ? a : b).read(row / 2, 1, out);
    }
  };
  return both;
}

Matrix Slice(Matrix matrix, int64_t first, int64_t count) {
  SINTER_CHECK(first >= 0 && first + count <= matrix.rows);
  Matrix slice = matrix;
  slice.rows = count;
  if (!slice.read) {
    slice.seed = [seed = matrix.seed, first](int64_t row) { return seed(first + row); };
    return slice;
  }
  slice.read = [matrix = std::move(matrix), first](int64_t row, int64_t rows, float* out) {
    matrix.read(first + row, rows, out);
  };
  return slice;
}

const CheckpointTensor& CheckpointWeights::Get(const std::string& name, const graph::Shape& shape,
                                               bool floats) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw Error("convert",
                "tensor '{}': got no such tensor in the checkpoint, want one of shape [{}]", name,
                fmt::join(shape, ", "));
  }
  const CheckpointTensor& tensor = found->second;
  if (tensor.shape != shape) {
    throw Error("convert", "tensor '{}': got shape [{}], want [{}] as config.json says", name,
                fmt::join(tensor.shape, ", "), fmt::join(shape, ", "));
  }
  if (floats ? !IsFloat(tensor.dtype) : tensor.dtype != DType::kU8) {
    throw Error("convert", "tensor '{}': got type {}, want {}", name, tensor.dtype_name,
                floats ? "BF16, F16 or F32" : "U8");
  }
  used_.insert(name);
  return tensor;
}

Matrix CheckpointWeights::Rows(const std::string& name, int64_t rows, int64_t columns) {
  const CheckpointTensor& tensor = Get(name, {rows, columns}, true);
  return {name, rows, columns, [&tensor, columns](int64_t first, int64_t count, float* out) {
            ToFloats(tensor, first * columns, count * columns, out);
          }};
}

Matrix CheckpointWeights::Columns(const std::string& name, int64_t batch, int64_t rows,
                                  int64_t columns) {
  const CheckpointTensor& tensor = Get(name, {batch, columns, rows}, true);
  return {name, batch * rows, columns,
          [&tensor, rows, columns](int64_t first, int64_t count, float* out) {
            // Rows of the matrix are columns in the file, so neighbouring rows are contiguous
            // there. Each column's elements of all requested rows of an item are read together.
            std::vector<float> together;
            while (count > 0) {
              const int64_t item = first / rows, row = first % rows;
              const int64_t here = std::min(count, rows - row);
              together.resize(static_cast<size_t>(here));
              for (int64_t j = 0; j < columns; ++j) {
                ToFloats(tensor, (item * columns + j) * rows + row, here, together.data());
                for (int64_t i = 0; i < here; ++i) out[i * columns + j] = together[i];
              }
              out += here * columns;
              first += here;
              count -= here;
            }
          }};
}

Matrix CheckpointWeights::Mxfp4(const std::string& name, int64_t batch, int64_t rows,
                                int64_t columns) {
  if (columns % kMxfp4Block != 0) {
    throw Error("convert", "tensor '{}_blocks': got {} columns, want a multiple of {}", name,
                columns, kMxfp4Block);
  }
  const int64_t blocks = columns / kMxfp4Block;
  const CheckpointTensor& codes =
      Get(name + "_blocks", {batch, rows, blocks, kMxfp4Block / 2}, false);
  const CheckpointTensor& scales = Get(name + "_scales", {batch, rows, blocks}, false);
  return {name, batch * rows, columns,
          [&codes, &scales, blocks](int64_t first, int64_t count, float* out) {
            for (int64_t block = first * blocks; block < (first + count) * blocks; ++block) {
              // An E8M0 scale is a power of two whose exponent is biased by 127.
              const auto exponent = std::to_integer<int>(scales.bytes[block]);
              const float scale = std::ldexp(1.0f, exponent - 127);
              const std::byte* bytes = codes.bytes.data() + block * kMxfp4Block / 2;
              for (int64_t i = 0; i < kMxfp4Block / 2; ++i) {
                const auto byte = std::to_integer<int>(bytes[i]);
                *out++ = kMxfp4Values[byte & 15] * scale;
                *out++ = kMxfp4Values[byte >> 4] * scale;
              }
            }
          }};
}

std::vector<float> CheckpointWeights::Vector(const std::string& name, int64_t count, double,
                                             double) {
  const auto found = tensors_.find(name);
  // Biases of experts have two dimensions and are accepted here as one row.
  const bool fits = found != tensors_.end() && found->second.shape.size() == 2 &&
                    graph::NumElements(found->second.shape) == count;
  const CheckpointTensor& tensor =
      Get(name, fits ? found->second.shape : graph::Shape{count}, true);
  std::vector<float> values(static_cast<size_t>(count));
  ToFloats(tensor, 0, count, values.data());
  for (const float value : values) {
    if (!std::isfinite(value)) {
      throw Error("convert", "tensor '{}': got a weight that is not finite", name);
    }
  }
  return values;
}

std::vector<std::string> CheckpointWeights::Unused() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) {
    if (!used_.contains(name)) names.push_back(name);
  }
  return names;
}

bool RandomWeights::Has(std::string_view name) const { return !name.ends_with("_blocks"); }

// Returns the FNV-1a hash of the name, started from the seed.
uint64_t RandomWeights::SeedOf(std::string_view name) const {
  uint64_t hash = 0xcbf29ce484222325u ^ Random(seed_).Next();
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

Matrix RandomWeights::Rows(const std::string& name, int64_t rows, int64_t columns) {
  Matrix matrix = {name, rows, columns, nullptr};
  matrix.deviation = 1 / std::sqrt(static_cast<double>(columns));
  matrix.seed = [seed = SeedOf(name)](int64_t row) {
    return Random(seed + static_cast<uint64_t>(row)).Next();
  };
  return matrix;
}

Matrix RandomWeights::Columns(const std::string& name, int64_t batch, int64_t rows,
                              int64_t columns) {
  return Rows(name, batch * rows, columns);
}

Matrix RandomWeights::Mxfp4(const std::string& name, int64_t batch, int64_t rows, int64_t columns) {
  return Rows(name, batch * rows, columns);
}

std::vector<float> RandomWeights::Vector(const std::string& name, int64_t count, double mean,
                                         double spread) {
  Random random(SeedOf(name));
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(mean + spread * random.Uniform());
  return values;
}

}  // namespace sinter::convert

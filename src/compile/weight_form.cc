#include "compile/weight_form.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "kernels/matmul_nbits/interleave.h"

namespace sinter::compile {
namespace {

template <typename T>
T Read(std::span<const std::byte> bytes, uint64_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void Write(std::span<std::byte> out, uint64_t index, T value) {
  std::memcpy(out.data() + index * sizeof(T), &value, sizeof(T));
}

float ReadFloat(const graph::Tensor& tensor, uint64_t index) {
  switch (tensor.dtype) {
    case DType::kF16:
      return HalfToFloat(Read<uint16_t>(tensor.bytes, index));
    case DType::kBF16:
      return BFloat16ToFloat(Read<uint16_t>(tensor.bytes, index));
    default:
      return Read<float>(tensor.bytes, index);
  }
}

int32_t ReadInt(const graph::Tensor& tensor, uint64_t index) {
  switch (tensor.dtype) {
    case DType::kI64:
      // Sentinels such as INT64_MAX become the largest 32-bit value.
      return static_cast<int32_t>(
          std::clamp<int64_t>(Read<int64_t>(tensor.bytes, index), INT32_MIN, INT32_MAX));
    case DType::kBool:
      return Read<uint8_t>(tensor.bytes, index) != 0 ? 1 : 0;
    default:
      return Read<int32_t>(tensor.bytes, index);
  }
}

}  // namespace

void ConvertElements(const graph::Tensor& tensor, DType device_dtype, uint64_t first,
                     std::span<std::byte> out) {
  const bool as_is = device_dtype == DType::kU8 || device_dtype == tensor.dtype;
  if (as_is) {
    const uint64_t elem_bytes = device_dtype == DType::kU8 ? 1 : DTypeBytes(tensor.dtype, 1);
    std::memcpy(out.data(), tensor.bytes.data() + first * elem_bytes, out.size());
    return;
  }
  const bool float_source =
      tensor.dtype == DType::kF16 || tensor.dtype == DType::kBF16 || tensor.dtype == DType::kF32;
  const bool int_source =
      tensor.dtype == DType::kI64 || tensor.dtype == DType::kI32 || tensor.dtype == DType::kBool;
  if (device_dtype == DType::kF32 && float_source) {
    for (uint64_t i = 0; i < out.size() / 4; ++i) Write(out, i, ReadFloat(tensor, first + i));
  } else if (device_dtype == DType::kF16 && float_source) {
    for (uint64_t i = 0; i < out.size() / 2; ++i)
      Write(out, i, FloatToHalf(ReadFloat(tensor, first + i)));
  } else if ((device_dtype == DType::kI32 || device_dtype == DType::kU32) && int_source) {
    for (uint64_t i = 0; i < out.size() / 4; ++i) Write(out, i, ReadInt(tensor, first + i));
  } else {
    throw Error("compile", "weight: got elements of {}, want a type that converts to {}",
                DTypeName(tensor.dtype), DTypeName(device_dtype));
  }
}

void FormBytes(const graph::Tensor& tensor, const WeightForm& form, uint64_t first,
               std::span<std::byte> out) {
  const uint64_t elem_bytes = form.dtype == DType::kU8 ? 1 : DTypeBytes(form.dtype, 1);
  if (form.row_bytes == 0) return ConvertElements(tensor, form.dtype, first / elem_bytes, out);
  // One group of rows at a time stays in the CPU's cache.
  const uint64_t group_bytes = form.row_bytes * kernels::kInterleavedRows;
  std::vector<std::byte> rows(group_bytes);
  while (!out.empty()) {
    const uint64_t group = first / group_bytes;
    const uint64_t count = std::min(out.size(), (group + 1) * group_bytes - first);
    ConvertElements(tensor, form.dtype, group * group_bytes / elem_bytes, rows);
    kernels::InterleaveRows(rows, form.row_bytes, form.unit_bytes, first % group_bytes,
                            out.first(count));
    first += count;
    out = out.subspan(count);
  }
}

WeightKey KeyOf(std::span<const graph::Tensor> tensors, const WeightForm& form) {
  WeightKey key = {.form = form};
  for (const graph::Tensor& tensor : tensors)
    key.tensors.emplace_back(tensor.bytes.data(), tensor.bytes.size());
  return key;
}

uint64_t DeviceBytes(const graph::Tensor& tensor, DType device_dtype) {
  return device_dtype == DType::kU8
             ? tensor.bytes.size()
             : DTypeBytes(device_dtype, static_cast<size_t>(tensor.num_elements()));
}

}  // namespace sinter::compile

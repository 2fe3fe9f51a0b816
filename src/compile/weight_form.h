// How a constant lies on the device: its element type, and the order of its rows.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "graph/tensor.h"

namespace sinter::compile {

// How constants lie on the device.
struct WeightForm {
  // Of the elements (kU8: the bytes as they are).
  DType dtype = DType::kUndefined;
  // Above 0 rows of so many bytes lie together, in units of so many (kernels::InterleaveRows); each
  // tensor is whole groups of rows.
  uint64_t row_bytes = 0, unit_bytes = 0;
  auto operator<=>(const WeightForm&) const = default;
};

// What makes two weights one on the device: the same bytes of the file, in the same order, in the
// same form.
struct WeightKey {
  std::vector<std::pair<const std::byte*, size_t>> tensors;
  WeightForm form;
  auto operator<=>(const WeightKey&) const = default;
};
WeightKey KeyOf(std::span<const graph::Tensor> tensors, const WeightForm& form);

// Bytes of a tensor's elements as `device_dtype` (kU8: its bytes as they are).
uint64_t DeviceBytes(const graph::Tensor& tensor, DType device_dtype);

// Bytes [first, first + out.size()) of a tensor in a form.
void FormBytes(const graph::Tensor& tensor, const WeightForm& form, uint64_t first,
               std::span<std::byte> out);

// Converts elements [first, first + out.size() / element bytes) of `tensor` to `device_dtype`
// little-endian.
void ConvertElements(const graph::Tensor& tensor, DType device_dtype, uint64_t first,
                     std::span<std::byte> out);

}  // namespace sinter::compile

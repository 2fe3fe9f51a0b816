// Describes how a constant is stored on the device: its element type and the order of its rows.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "graph/tensor.h"

namespace sinter::compile {

// Form of constants on the device.
struct WeightForm {
  // Element type; kU8 means the bytes of the file, unchanged.
  DType dtype = DType::kUndefined;
  // If `row_bytes` is above 0, groups of rows of that size are interleaved in units of `unit_bytes`
  // (kernels::InterleaveRows). Each tensor holds whole groups of rows.
  uint64_t row_bytes = 0, unit_bytes = 0;
  auto operator<=>(const WeightForm&) const = default;
};

// Identity of a weight on the device: two weights are one if they have the same bytes of the file
// in the same order and form.
struct WeightKey {
  std::vector<std::pair<const std::byte*, size_t>> tensors;
  WeightForm form;
  auto operator<=>(const WeightKey&) const = default;
};
WeightKey KeyOf(std::span<const graph::Tensor> tensors, const WeightForm& form);

// Returns the bytes of a tensor's elements as `device_dtype`; kU8 means its bytes unchanged.
uint64_t DeviceBytes(const graph::Tensor& tensor, DType device_dtype);

// Writes bytes [first, first + out.size()) of a tensor in the given form.
void FormBytes(const graph::Tensor& tensor, const WeightForm& form, uint64_t first,
               std::span<std::byte> out);

// Converts elements [first, first + out.size() / element bytes) of `tensor` to `device_dtype`,
// little-endian.
void ConvertElements(const graph::Tensor& tensor, DType device_dtype, uint64_t first,
                     std::span<std::byte> out);

}  // namespace sinter::compile

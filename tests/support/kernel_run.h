// Runs one KernelCase on a device: operands to buffers, dispatch, buffers back to numbers.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/device.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {

// The operand's bytes as they lie on the GPU. A buffer to be written without start values is
// poisoned with NaN.
std::vector<std::byte> EncodeOperand(const Operand& operand);

// Elements of `dtype` as numbers.
std::vector<double> DecodeElements(DType dtype, std::span<const std::byte> bytes, size_t count);

// Empty where every expected value is met, else a text that names the first element that is not.
std::string CompareOperand(const Operand& operand, std::span<const std::byte> bytes);

// The case's buffers and pipelines on a device, with its dispatches recorded.
struct PreparedCase {
  std::vector<Operand> operands;
  std::vector<gpu::Buffer> buffers;  // by operand; empty where absent
  gpu::CommandList list;
  std::string variant;  // of the last dispatch
};
PreparedCase PrepareCase(gpu::Device& device, const KernelCase& kernel_case,
                         std::string_view variant);

// Runs one plan over `operands` and returns each buffer's bytes afterwards (empty where absent).
// For tests that chain kernels or compare two runs.
std::vector<std::vector<std::byte>> RunPlan(gpu::Device& device, const KernelPlan& plan,
                                            std::span<const Operand> operands);

// The device that the tests of this process share: checked, by SINTER_TEST_DEVICE or the first one
// there is.
gpu::Device& TestDevice();

}  // namespace sinter::kernels

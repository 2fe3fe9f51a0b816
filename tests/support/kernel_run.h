// Runs one KernelCase on a device: uploads operands, dispatches, and decodes the buffers.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/device.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {

// Returns the operand's bytes in their GPU layout. An output buffer without start values is
// poisoned with NaN.
std::vector<std::byte> EncodeOperand(const Operand& operand);

// Decodes elements of `dtype` to doubles.
std::vector<double> DecodeElements(DType dtype, std::span<const std::byte> bytes, size_t count);

// Returns an empty text if every expected value is met, otherwise a text that names the first
// element that differs.
std::string CompareOperand(const Operand& operand, std::span<const std::byte> bytes);

// The case's buffers and pipelines on a device, with its dispatches recorded.
struct PreparedCase {
  std::vector<Operand> operands;
  std::vector<gpu::Buffer> buffers;  // by operand; empty where absent
  gpu::CommandList list;
  std::string variant;  // variant of the last dispatch
};
PreparedCase PrepareCase(gpu::Device& device, const KernelCase& kernel_case,
                         std::string_view variant);

// Runs one plan on `operands` and returns the bytes of each buffer afterwards (empty if absent).
// For tests that chain kernels or compare two runs.
std::vector<std::vector<std::byte>> RunPlan(gpu::Device& device, const KernelPlan& plan,
                                            std::span<const Operand> operands);

// Returns the device that the tests of this process share, with checks on: the one that
// SINTER_TEST_DEVICE names, or the first available one.
gpu::Device& TestDevice();

}  // namespace sinter::kernels

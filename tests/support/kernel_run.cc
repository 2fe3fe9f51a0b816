#include "support/kernel_run.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/half.h"
#include "run/record_plan.h"
#include "support/device.h"

namespace sinter::kernels {
namespace {

size_t ElementBytes(DType dtype) { return dtype == DType::kF16 ? 2 : 4; }

template <typename T>
void Append(std::vector<std::byte>& bytes, T value) {
  const size_t at = bytes.size();
  bytes.resize(at + sizeof(T));
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}

void AppendElement(std::vector<std::byte>& bytes, DType dtype, double value) {
  switch (dtype) {
    case DType::kF16:
      return Append(bytes, FloatToHalf(static_cast<float>(value)));
    case DType::kF32:
      return Append(bytes, static_cast<float>(value));
    case DType::kI32:
    case DType::kI64:
      return Append(bytes, static_cast<int32_t>(value));
    case DType::kU32:
    case DType::kBool:
      return Append(bytes, static_cast<uint32_t>(value));
    default:
      SINTER_CHECK(false, "operand of type {}", DTypeName(dtype));
  }
}

gpu::CommandList Record(gpu::Device& device, const KernelPlan& plan,
                        std::span<const gpu::Buffer> buffers) {
  gpu::CommandList list(device);
  run::RecordPlan(device, plan, buffers, list);
  return list;
}

std::vector<gpu::Buffer> MakeBuffers(gpu::Device& device, std::span<const Operand> operands) {
  std::vector<gpu::Buffer> buffers(operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i].present) continue;
    const std::vector<std::byte> bytes = EncodeOperand(operands[i]);
    buffers[i] = device.CreateBuffer(bytes.size(), fmt::format("operand {}", i));
    device.Upload(buffers[i], 0, bytes);
  }
  return buffers;
}

}  // namespace

std::vector<std::byte> EncodeOperand(const Operand& operand) {
  if (operand.dtype == DType::kU8) return operand.raw;
  std::vector<std::byte> bytes;
  if (operand.values.empty()) {
    // All bits set is NaN in f16 and f32, and -1 in the integer types.
    bytes.resize(operand.expected.size() * ElementBytes(operand.dtype), std::byte{0xff});
    return bytes;
  }
  bytes.reserve(operand.values.size() * ElementBytes(operand.dtype));
  for (const double value : operand.values) AppendElement(bytes, operand.dtype, value);
  return bytes;
}

std::vector<double> DecodeElements(DType dtype, std::span<const std::byte> bytes, size_t count) {
  SINTER_CHECK(bytes.size() >= count * ElementBytes(dtype));
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i) {
    const std::byte* at = bytes.data() + i * ElementBytes(dtype);
    uint32_t word = 0;
    std::memcpy(&word, at, ElementBytes(dtype));
    switch (dtype) {
      case DType::kF16:
        values[i] = HalfToFloat(static_cast<uint16_t>(word));
        break;
      case DType::kF32:
        values[i] = std::bit_cast<float>(word);
        break;
      case DType::kI32:
      case DType::kI64:
        values[i] = static_cast<int32_t>(word);
        break;
      default:
        values[i] = word;
    }
  }
  return values;
}

std::string CompareOperand(const Operand& operand, std::span<const std::byte> bytes) {
  const std::vector<double> got = DecodeElements(operand.dtype, bytes, operand.expected.size());
  size_t wrong = 0;
  std::string first;
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = operand.expected[i];
    if (std::isnan(want)) continue;
    const double tolerance = operand.abs_tolerance + operand.rel_tolerance * std::abs(want);
    const bool same_infinity = std::isinf(want) && got[i] == want;
    if (same_infinity || std::abs(got[i] - want) <= tolerance) continue;
    if (wrong++ == 0)
      first = fmt::format("element {}: got {}, want {} +- {}", i, got[i], want, tolerance);
  }
  if (wrong == 0) return {};
  return fmt::format("{} of {} elements differ; first {}", wrong, got.size(), first);
}

PreparedCase PrepareCase(gpu::Device& device, const KernelCase& kernel_case,
                         std::string_view variant) {
  const std::vector<KernelPlan> plans =
      kernel_case.plans ? kernel_case.plans(device.caps(), variant)
                        : std::vector<KernelPlan>{kernel_case.plan(device.caps(), variant)};
  std::vector<Operand> operands = kernel_case.operands();
  std::vector<gpu::Buffer> buffers = MakeBuffers(device, operands);
  gpu::CommandList list(device);
  for (const KernelPlan& plan : plans) list.Append(Record(device, plan, buffers));
  return {std::move(operands), std::move(buffers), std::move(list), plans.back().variant};
}

std::vector<std::vector<std::byte>> RunPlan(gpu::Device& device, const KernelPlan& plan,
                                            std::span<const Operand> operands) {
  const std::vector<gpu::Buffer> buffers = MakeBuffers(device, operands);
  device.Submit(Record(device, plan, buffers));
  std::vector<std::vector<std::byte>> results(buffers.size());
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i]) results[i] = device.Download(buffers[i], 0, buffers[i].size_bytes());
  }
  device.Check();
  return results;
}

gpu::Device& TestDevice() { return *support::SharedDevice(); }

}  // namespace sinter::kernels

#include "kernels/testing/kernel_case.h"

#include <algorithm>
#include <random>

#include "base/half.h"

namespace sinter::kernels {
namespace {

std::vector<std::pair<std::string, KernelCaseMaker>>& Registry() {
  static std::vector<std::pair<std::string, KernelCaseMaker>> registry;
  return registry;
}

}  // namespace

bool RegisterKernelCases(std::string_view kernel, KernelCaseMaker maker) {
  Registry().emplace_back(kernel, std::move(maker));
  return true;
}

const std::vector<std::pair<std::string, KernelCaseMaker>>& RegisteredKernelCases() {
  return Registry();
}

std::vector<double> RoundTo(DType dtype, std::vector<double> values) {
  for (double& value : values) {
    const auto single = static_cast<float>(value);
    value = dtype == DType::kF16   ? HalfToFloat(FloatToHalf(single))
            : dtype == DType::kF32 ? single
                                   : value;
  }
  return values;
}

std::vector<double> RandomValues(DType dtype, size_t count, uint32_t seed, double scale) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(0.0, scale);
  std::vector<double> values(count);
  for (double& value : values) value = normal(engine);
  return RoundTo(dtype, std::move(values));
}

std::vector<std::byte> RandomBytes(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(engine() & 0xffu);
  return bytes;
}

double Epsilon(DType dtype) { return dtype == DType::kF16 ? 0x1p-11 : 0x1p-24; }

Caps WithoutF16(Caps caps) {
  caps.f16 = false;
  return caps;
}

Caps WithoutSubgroups(Caps caps) {
  caps.subgroups = false;
  caps.subgroup_min_size = caps.subgroup_max_size = 0;
  caps.subgroup_matrix.clear();
  return caps;
}

}  // namespace sinter::kernels

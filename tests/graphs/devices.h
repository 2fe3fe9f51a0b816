// The forms of a device that random graphs run on, so that each of a kernel's variants has its
// turn.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "support/device.h"

namespace sinter::graphs {

struct DeviceForm {
  std::string_view name;
  gpu::DeviceOptions options;
};

inline constexpr size_t kDeviceForms = 3;

inline DeviceForm FormOf(size_t index) {
  if (index == 0) return {"as it is", {}};
  // Weights lie in the order that a GPU reads best, also on a CPU that acts as one.
  if (index == 1) return {"as a GPU", {.as_gpu = true}};
  return {"without f16, subgroups and matrix units",
          {.f16 = false, .subgroups = false, .subgroup_matrix = false}};
}

// Returns the index of the form on which the graph of `seed` runs.
inline size_t FormIndex(uint64_t seed) { return seed % 8 == 0 ? 2 : seed % 2; }

// Opens devices when they are first used, and keeps them open.
class Devices {
 public:
  const std::shared_ptr<gpu::Device>& Get(size_t form) {
    if (devices_[form] == nullptr) devices_[form] = support::OpenDevice(FormOf(form).options);
    return devices_[form];
  }
  void Close() { devices_ = {}; }

 private:
  std::array<std::shared_ptr<gpu::Device>, kDeviceForms> devices_;
};

}  // namespace sinter::graphs

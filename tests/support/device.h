// Devices for tests of programs and models. Links Dawn.
#pragma once

#include <cstdlib>
#include <memory>

#include "gpu/device.h"

namespace sinter::support {

// Opens the adapter that SINTER_TEST_DEVICE names, or the default one, with checks on. Uses the
// user's shader cache unless `options` names another, because compiling takes most of the tests'
// time. Throws Error if there is no adapter.
inline std::shared_ptr<gpu::Device> OpenDevice(gpu::DeviceOptions options = {}) {
  options.checked = true;
  if (options.cache_dir.empty()) options.cache_dir = gpu::DefaultCacheDir();
  if (const char* name = std::getenv("SINTER_TEST_DEVICE")) options.adapter = name;
  return gpu::Device::Open(options);
}

// Returns the device that the whole program shares.
inline const std::shared_ptr<gpu::Device>& SharedDevice() {
  static const std::shared_ptr<gpu::Device> device = OpenDevice();
  return device;
}

}  // namespace sinter::support

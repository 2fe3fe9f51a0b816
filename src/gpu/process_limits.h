// Limits of the process under which drivers crash or hang instead of failing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sinter::gpu {

// Returns why the software GPU would crash under the process's `ulimit -v`, or "" if it would not.
std::string AddressSpaceProblem();

// Throws Error("gpu") if `ulimit -v` is so low that no driver can be loaded.
void CheckAddressSpaceForDrivers();

// Throws Error("gpu") if a limit of the process (ulimit -v, ulimit -u) is so low that the driver,
// or Mesa's software GPU if `software`, would crash or hang.
void CheckProcessLimits(bool software);

// Returns the bytes that buffers of the software GPU may still take under `ulimit -v`, or nullopt
// without a limit. The driver's compiler crashes where it gets no memory, so its share is kept
// free.
std::optional<uint64_t> SoftwareMemoryLeft();

}  // namespace sinter::gpu

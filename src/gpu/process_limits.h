// Limits of the process under which drivers crash or hang instead of failing.
#pragma once

#include <cstdint>
#include <optional>

namespace sinter::gpu {

// Throws Error("gpu") if a limit of the process (ulimit -v, ulimit -u) is so low that the driver,
// or Mesa's software GPU if `software`, would crash or hang.
void CheckProcessLimits(bool software);

// Returns the bytes that buffers of the software GPU may still take under `ulimit -v`, or nullopt
// without a limit. The driver's compiler crashes where it gets no memory, so its share is kept
// free.
std::optional<uint64_t> SoftwareMemoryLeft();

}  // namespace sinter::gpu

// Limits of the process under which drivers crash or hang instead of failing.
#pragma once

namespace sinter::gpu {

// Throws Error("gpu") if a limit of the process (ulimit -v, ulimit -u) is so low that the driver,
// or Mesa's software GPU if `software`, would crash or hang.
void CheckProcessLimits(bool software);

}  // namespace sinter::gpu

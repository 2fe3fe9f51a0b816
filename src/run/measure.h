// The time of recorded work, for what is measured about an adapter itself.
#pragma once

#include "gpu/device.h"

namespace sinter::run {

// Seconds that the GPU takes for the list: the median of several runs after one that warms up; by
// timestamps where it has them, else by the host's clock.
double MedianSeconds(gpu::Device& device, const gpu::CommandList& list);

}  // namespace sinter::run

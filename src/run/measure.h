// The time of recorded work, for what is measured about an adapter itself.
#pragma once

#include <functional>

#include "gpu/device.h"

namespace sinter::run {

// When a measurement has settled.
struct SettleOptions {
  // Largest difference between two readings that agree, as a share of the larger one.
  double tolerance = 0.03;
  // Time after which the last reading is taken as it is.
  double max_seconds = 1;
};

// Calls `read` until two readings in succession agree, and returns the later one. A GPU that was
// idle runs at a low clock first, so its first readings are wrong. Always reads twice at least.
// When options.max_seconds have passed by `now` (seconds from any beginning), returns the last
// reading.
double ReadSettled(const std::function<double()>& read, const std::function<double()>& now,
                   const SettleOptions& options = {});

// Returns the seconds that the GPU takes for the list, once readings agree (ReadSettled). Each
// reading is the median of the runs of 0.1 s, three at least. Times come from timestamps where the
// adapter has them, else from the host's clock.
double MedianSeconds(gpu::Device& device, const gpu::CommandList& list);

}  // namespace sinter::run

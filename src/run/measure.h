// Measures the GPU time of recorded commands, for probes of the adapter itself.
#pragma once

#include <functional>

#include "gpu/device.h"

namespace sinter::run {

// Conditions that end a measurement.
struct SettleOptions {
  // Largest difference between two readings that agree, as a share of the larger one.
  double tolerance = 0.03;
  // Time limit, after which the last reading is returned even if it does not agree.
  double max_seconds = 1;
};

// Calls `read` until two consecutive readings agree, and returns the later one. A GPU that was idle
// starts at a low clock, so its first readings are too slow. Reads at least twice. Returns the last
// reading once options.max_seconds have passed on the clock `now` (seconds since an arbitrary
// start).
double ReadSettled(const std::function<double()>& read, const std::function<double()>& now,
                   const SettleOptions& options = {});

// Returns the seconds that the GPU takes for the list, once readings agree (ReadSettled). Each
// reading is the median of the runs that fit in 0.1 s, at least three. Uses GPU timestamps if the
// adapter has them, otherwise the host's clock.
double MedianSeconds(gpu::Device& device, const gpu::CommandList& list);

}  // namespace sinter::run

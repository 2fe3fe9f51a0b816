// Measures the speed that an adapter itself reaches, as a bound to judge programs by.
#pragma once

#include <cstdint>

#include "gpu/device.h"

namespace sinter::run {

// Returns the bytes per second that `device` reads, once readings agree (MedianSeconds): 0.2 s of a
// GPU at work, and up to 1 s of one that was idle. A run reads `bytes` in total, spread over as
// many buffers as bindings need. 0 bytes: 1 GiB, which no cache holds, or 64 MiB on a CPU that acts
// as a GPU. The memory is given back. Throws Error if it does not fit.
double MeasureReadBandwidth(gpu::Device& device, uint64_t bytes = 0);

// Returns the floating point operations per second on matrices of f16 with f32 sums, in the same
// time; 0 if the adapter has no matrix units for them.
double MeasureMatrixPeak(gpu::Device& device);

}  // namespace sinter::run

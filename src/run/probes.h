// Measures the peak speeds of an adapter, as bounds to judge programs by.
#pragma once

#include <cstdint>

#include "gpu/device.h"

namespace sinter::run {

// Returns the bytes per second that `device` reads, once readings agree (MedianSeconds). Takes 0.2
// s on a busy GPU and up to 1 s on one that was idle. A run reads `bytes` in total, split over as
// many buffers as the binding limit requires. If `bytes` is 0, it reads 1 GiB, which no cache
// holds, or 64 MiB on a software GPU. Frees the memory afterwards. Throws Error if the memory does
// not fit.
double MeasureReadBandwidth(gpu::Device& device, uint64_t bytes = 0);

// Returns the floating point operations per second of f16 matrix products with f32 sums, or 0 if
// the adapter has no matrix units for them. Takes as long as MeasureReadBandwidth.
double MeasureMatrixPeak(gpu::Device& device);

}  // namespace sinter::run

// Measures what an adapter itself reaches, as bounds to judge programs by.
#pragma once

#include <cstdint>

#include "gpu/device.h"

namespace sinter::run {

// Bytes per second that `device` reads: the median of several runs over `bytes` in total, spread
// over as many buffers as bindings need. 0 bytes: 1 GiB, which no cache holds, or 64 MiB on a CPU
// that pretends to be a GPU. The memory is given back. Throws Error where it does not fit.
double MeasureReadBandwidth(gpu::Device& device, uint64_t bytes = 0);

// Floating point operations a second on matrices of f16 with f32 sums; 0 where the adapter has
// none. Takes about 20 ms of a large GPU.
double MeasureMatrixPeak(gpu::Device& device);

}  // namespace sinter::run

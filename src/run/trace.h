// Profiles: dispatches' times summed up by kernel, and as a trace for Chrome's and Perfetto's
// viewers.
#pragma once

#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "run/program.h"

namespace sinter::run {

// All dispatches of one kernel variant in a profile.
struct KernelTime {
  std::string variant;
  size_t count = 0;
  double nanoseconds = 0;
  double share = 0;  // of the profile's sum, 0 to 1
  double bytes = 0, flops = 0;
  // 0 where the time is 0 (a clock too coarse for it).
  double bytes_per_second() const { return nanoseconds > 0 ? bytes / nanoseconds * 1e9 : 0; }
  double flops_per_second() const { return nanoseconds > 0 ? flops / nanoseconds * 1e9 : 0; }
};

// The longest first.
std::vector<KernelTime> SumByKernel(std::span<const DispatchTime> times);

// A profile with the name under which a trace shows it.
struct TraceTrack {
  std::string name;
  std::vector<DispatchTime> times;
};

// The tracks as one JSON object in the Trace Event Format (complete events, times in microseconds);
// each is a process of its own and begins at 0. Format:
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
void WriteChromeTrace(std::span<const TraceTrack> tracks, std::ostream& stream);

}  // namespace sinter::run

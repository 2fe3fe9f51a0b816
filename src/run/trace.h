// Output of profiles: the dispatches' times summed by kernel, and traces for the viewers of Chrome
// and Perfetto.
#pragma once

#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "run/program.h"

namespace sinter::run {

// Totals of all dispatches of one kernel variant in a profile.
struct KernelTime {
  std::string variant;
  size_t count = 0;
  double nanoseconds = 0;
  double share = 0;  // fraction of the profile's total time, 0 to 1
  double bytes = 0, flops = 0;
  // Return 0 if the time is 0 because the clock is too coarse.
  double bytes_per_second() const { return nanoseconds > 0 ? bytes / nanoseconds * 1e9 : 0; }
  double flops_per_second() const { return nanoseconds > 0 ? flops / nanoseconds * 1e9 : 0; }
};

// Returns the times summed by kernel, the longest first.
std::vector<KernelTime> SumByKernel(std::span<const DispatchTime> times);

// A profile with its name in the trace.
struct TraceTrack {
  std::string name;
  std::vector<DispatchTime> times;
};

// Writes the tracks as one JSON object in the Trace Event Format (complete events, times in
// microseconds). Each track is a process of its own and begins at 0. Format:
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
void WriteChromeTrace(std::span<const TraceTrack> tracks, std::ostream& stream);

}  // namespace sinter::run

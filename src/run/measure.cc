#include "run/measure.h"

#include <algorithm>
#include <chrono>

namespace sinter::run {
namespace {

constexpr int kRuns = 9;

double SecondsOf(gpu::Device& device, const gpu::CommandList& list) {
  if (device.caps().timestamps) {
    double nanoseconds = 0;
    for (const double dispatch : device.SubmitProfiled(list)) nanoseconds += dispatch;
    if (nanoseconds > 0) return nanoseconds * 1e-9;
  }
  device.Wait();
  const auto start = std::chrono::steady_clock::now();
  device.Submit(list);
  device.Wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

double MedianSeconds(gpu::Device& device, const gpu::CommandList& list) {
  SecondsOf(device, list);
  std::vector<double> seconds;
  for (int run = 0; run < kRuns; ++run) seconds.push_back(SecondsOf(device, list));
  std::nth_element(seconds.begin(), seconds.begin() + kRuns / 2, seconds.end());
  return seconds[kRuns / 2];
}

}  // namespace sinter::run

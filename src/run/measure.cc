#include "run/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

namespace sinter::run {
namespace {

// Least number of runs and duration of one reading. The duration exceeds the 60 ms of work that an
// H200 needs to clock up, so that two readings cannot agree while the clock is still low.
constexpr size_t kMinRuns = 3;
constexpr double kReadingSeconds = 0.1;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double SecondsOf(gpu::Device& device, const gpu::CommandList& list) {
  if (device.caps().timestamps) {
    double nanoseconds = 0;
    for (const double dispatch : device.SubmitProfiled(list)) nanoseconds += dispatch;
    if (nanoseconds > 0) return nanoseconds * 1e-9;
  }
  device.Wait();
  const double start = Now();
  device.Submit(list);
  device.Wait();
  return Now() - start;
}

double ReadMedian(gpu::Device& device, const gpu::CommandList& list) {
  std::vector<double> seconds;
  const double start = Now();
  while (seconds.size() < kMinRuns || Now() - start < kReadingSeconds)
    seconds.push_back(SecondsOf(device, list));
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

}  // namespace

double ReadSettled(const std::function<double()>& read, const std::function<double()>& now,
                   const SettleOptions& options) {
  const double start = now();
  double before = read();
  while (true) {
    const double reading = read();
    const double most = options.tolerance * std::max(std::abs(before), std::abs(reading));
    if (std::abs(reading - before) <= most || now() - start >= options.max_seconds) return reading;
    before = reading;
  }
}

double MedianSeconds(gpu::Device& device, const gpu::CommandList& list) {
  return ReadSettled([&] { return ReadMedian(device, list); }, Now);
}

}  // namespace sinter::run

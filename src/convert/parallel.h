// A loop that runs on several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace sinter::convert {

// Splits [0, count) into ranges of `grain` and calls body(begin, end) for each, on as many threads
// as the machine has and at least two. Rethrows the first exception; ranges that have not begun by
// then are skipped.
template <typename Body>
void ParallelFor(int64_t count, int64_t grain, Body body) {
  const int64_t ranges = (count + grain - 1) / grain;
  const int64_t threads =
      std::min<int64_t>(std::max(2u, std::thread::hardware_concurrency()), ranges);
  std::atomic<int64_t> next = 0;
  std::exception_ptr error;
  std::mutex mutex;
  const auto work = [&] {
    try {
      for (int64_t range = next++; range < ranges; range = next++) {
        body(range * grain, std::min(count, (range + 1) * grain));
      }
    } catch (...) {
      next = ranges;
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  };
  std::vector<std::jthread> others;
  for (int64_t i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  others.clear();
  if (error) std::rethrow_exception(error);
}

}  // namespace sinter::convert

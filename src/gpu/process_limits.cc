#include "gpu/process_limits.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/system_memory.h"

namespace sinter::gpu {
namespace {

// Address space that Mesa's software GPU needs. With two processors lavapipe 26 crashes at a limit
// of 900 MB, and runs the bundled model at 1060 MB with the compiler's share kept free. Each of its
// threads, one a processor, has a stack and a heap of its own.
constexpr uint64_t kSoftwareMebibytes = 800, kMebibytesPerProcessor = 128;
// Address space below which no driver is looked for: with less than 305 MiB, lavapipe 26 does not
// even load, and the Vulkan loader prints warnings of its own.
constexpr uint64_t kLoadMebibytes = 384;
// Part of it that the driver needs after a device is open: compiling takes memory in several
// threads.
constexpr uint64_t kCompilerMebibytes = 64, kCompilerMebibytesPerProcessor = 32;
// Threads that Dawn, the driver and Sinter start. With two processors the bundled model hangs where
// 9 more can be started, and runs where 10 can.
constexpr size_t kThreads = 8, kThreadsPerProcessor = 2;
// Limit on a user's processes and threads from which on nothing is tried.
constexpr uint64_t kManyThreads = 4096;

uint64_t Processors() { return std::max(1u, std::thread::hardware_concurrency()); }

std::optional<uint64_t> SoftLimit(__rlimit_resource resource) {
  rlimit limit;
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return limit.rlim_cur;
}

// Returns how many threads can be started at once, at most `most`. The limit counts those of the
// user's other processes too, so the threads are started.
size_t StartThreads(size_t most) {
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  threads.reserve(most);
  try {
    while (threads.size() < most) threads.emplace_back([&] { done.wait(false); });
  } catch (const std::system_error&) {
    // The limit is reached.
  }
  done = true;
  done.notify_all();
  for (std::thread& thread : threads) thread.join();
  return threads.size();
}

}  // namespace

std::optional<uint64_t> SoftwareMemoryLeft() {
  const std::optional<uint64_t> left = AddressSpaceLeft();
  if (!left) return std::nullopt;
  const uint64_t kept = (kCompilerMebibytes + kCompilerMebibytesPerProcessor * Processors()) << 20;
  return *left - std::min(*left, kept);
}

std::string AddressSpaceProblem() {
  const uint64_t want = kSoftwareMebibytes + kMebibytesPerProcessor * Processors();
  const std::optional<uint64_t> bytes = SoftLimit(RLIMIT_AS);
  if (!bytes || *bytes >> 20 >= want) return "";
  return fmt::format(
      "address space: got a limit of {} MiB (ulimit -v), want {} MiB or more: the software GPU "
      "crashes with less",
      *bytes >> 20, want);
}

void CheckAddressSpaceForDrivers() {
  if (SoftLimit(RLIMIT_AS).value_or(UINT64_MAX) >> 20 >= kLoadMebibytes) return;
  if (const std::string problem = AddressSpaceProblem(); !problem.empty())
    throw Error("gpu", "{}", problem);
}

void CheckProcessLimits(bool software) {
  if (const std::string problem = software ? AddressSpaceProblem() : ""; !problem.empty())
    throw Error("gpu", "{}", problem);
  if (SoftLimit(RLIMIT_NPROC).value_or(kManyThreads) >= kManyThreads) return;
  const size_t want = kThreads + kThreadsPerProcessor * Processors();
  if (const size_t got = StartThreads(want); got < want) {
    throw Error("gpu", "threads: got room for {} more (ulimit -u), want {}: drivers hang with less",
                got, want);
  }
}

}  // namespace sinter::gpu

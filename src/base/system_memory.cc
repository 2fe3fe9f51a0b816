#include "base/system_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace sinter {
namespace {

// Returns the number that follows `key` in a file of lines such as "MemAvailable:  123 kB", or that
// stands alone if `key` is empty. Returns nullopt if there is none, as in a limit of "max".
std::optional<uint64_t> NumberIn(const std::filesystem::path& file, std::string_view key) {
  std::ifstream stream(file);
  std::string word;
  uint64_t number = 0;
  while (!key.empty() && word != key) {
    if (!(stream >> word)) return std::nullopt;
  }
  if (!(stream >> number)) return std::nullopt;
  return number;
}

// Files of a control group: version 2's or version 1's names.
struct GroupFiles {
  const char *limit, *usage, *droppable;
};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file"};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_inactive_file"};

std::optional<uint64_t> GroupLeft(const std::filesystem::path& folder, const GroupFiles& files) {
  const auto limit = NumberIn(folder / files.limit, "");
  const auto usage = NumberIn(folder / files.usage, "");
  if (!limit || !usage) return std::nullopt;
  const uint64_t droppable = NumberIn(folder / "memory.stat", files.droppable).value_or(0);
  const uint64_t used = *usage - std::min(*usage, droppable);
  return *limit - std::min(*limit, used);
}

// Returns the least of what the process's control groups and their parents leave.
std::optional<uint64_t> AllGroupsLeft(const std::filesystem::path& root) {
  const std::filesystem::path mount = root / "sys/fs/cgroup";
  std::optional<uint64_t> least;
  std::ifstream groups(root / "proc/self/cgroup");
  // A line is "HIERARCHY:CONTROLLERS:PATH"; version 2 has hierarchy 0 and no controllers.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool memory = ("," + controllers + ",").find(",memory,") != std::string::npos;
    if (!controllers.empty() && !memory) continue;
    const GroupFiles& files = memory ? kVersion1 : kVersion2;
    const std::filesystem::path top = memory ? mount / "memory" : mount;
    std::filesystem::path group = std::filesystem::path(line.substr(second + 1)).relative_path();
    for (;; group = group.parent_path()) {
      if (const auto left = GroupLeft(top / group, files))
        least = std::min(least.value_or(UINT64_MAX), *left);
      if (group.empty()) break;
    }
  }
  return least;
}

}  // namespace

std::optional<uint64_t> SystemMemoryLeft(const std::filesystem::path& root) {
  const auto kilobytes = NumberIn(root / "proc/meminfo", "MemAvailable:");
  const auto groups = AllGroupsLeft(root);
  if (!kilobytes) return groups;
  return std::min(*kilobytes << 10, groups.value_or(UINT64_MAX));
}

std::optional<uint64_t> AddressSpaceLeft() {
  rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  // The first number of statm is the address space in pages.
  const uint64_t used =
      NumberIn("/proc/self/statm", "").value_or(0) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return limit.rlim_cur - std::min<uint64_t>(limit.rlim_cur, used);
}

}  // namespace sinter

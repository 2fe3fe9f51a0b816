#include "base/system_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace sinter {
namespace {

class SystemMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "memory_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& name, std::string_view content) {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << content;
  }
  std::filesystem::path root_;
};

TEST_F(SystemMemoryTest, TakesWhatTheKernelCallsAvailable) {
  EXPECT_EQ(SystemMemoryLeft(root_), std::nullopt);
  Write("proc/meminfo", "MemTotal:  8000 kB\nMemFree:  10 kB\nMemAvailable:    4000 kB\n");
  EXPECT_EQ(SystemMemoryLeft(root_), 4000 << 10);
  Write("proc/meminfo", "MemTotal:  8000 kB\nMemAvailable: lots\n");
  EXPECT_EQ(SystemMemoryLeft(root_), std::nullopt);
}

TEST_F(SystemMemoryTest, ControlGroupsLimitIt) {
  Write("proc/meminfo", "MemAvailable: 4000 kB\n");
  Write("proc/self/cgroup", "0::/user/job\n");
  Write("sys/fs/cgroup/user/job/memory.max", "max\n");
  Write("sys/fs/cgroup/user/job/memory.current", "70000\n");
  EXPECT_EQ(SystemMemoryLeft(root_), 4000 << 10) << "no limit";
  Write("sys/fs/cgroup/user/memory.max", "100000\n");
  Write("sys/fs/cgroup/user/memory.current", "80000\n");
  EXPECT_EQ(SystemMemoryLeft(root_), 20000) << "the parent's limit";
  Write("sys/fs/cgroup/user/memory.stat", "anon 7\ninactive_file 50000\nactive_file 1\n");
  EXPECT_EQ(SystemMemoryLeft(root_), 70000) << "page cache can be dropped";
  Write("sys/fs/cgroup/user/job/memory.max", "60000\n");
  EXPECT_EQ(SystemMemoryLeft(root_), 0) << "over the limit";
  // A container sees its own group as the root.
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/memory.max", "90000\n");
  Write("sys/fs/cgroup/memory.current", "30000\n");
  EXPECT_EQ(SystemMemoryLeft(root_), 60000);
}

TEST_F(SystemMemoryTest, OlderControlGroups) {
  Write("proc/meminfo", "MemAvailable: 4000 kB\n");
  Write("proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job\n0::/elsewhere\nodd line\n");
  Write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "50000\n");
  Write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "40000\n");
  Write("sys/fs/cgroup/memory/job/memory.stat", "total_inactive_file 15000\n");
  EXPECT_EQ(SystemMemoryLeft(root_), 25000);
}

TEST(SystemMemory, OfThisMachine) {
  const auto left = SystemMemoryLeft();
  ASSERT_TRUE(left.has_value());
  EXPECT_GT(*left, 1u << 20);
}

}  // namespace
}  // namespace sinter

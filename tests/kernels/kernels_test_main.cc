// Turns every registered kernel case into GoogleTest tests, in addition to the tests that the files
// define themselves.
//
// A software GPU's compiler takes nearly all of a test's time, and most shaders belong to one case
// and one variant. So each case is tested with one of its variants, in turn, and with each variant
// that no earlier case had. This covers every case and every variant, but not every pair.
// SINTER_TEST_ALL=1 tests all pairs.
//
// Neighbouring tests share shaders. With GTEST_TOTAL_SHARDS, a shard is therefore a range of
// consecutive tests, instead of every n-th test as in GoogleTest.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/testing/kernel_case.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

// Bytes moved by a case from which on it counts as one of real size, which takes a software GPU
// long.
constexpr double kRealBytes = 3e5;

class KernelCaseTest : public testing::Test {
 public:
  KernelCaseTest(KernelCase kernel_case, std::string variant)
      : case_(std::move(kernel_case)), variant_(std::move(variant)) {}

  void TestBody() override {
    gpu::Device& device = TestDevice();
    const PreparedCase prepared = PrepareCase(device, case_, variant_);
    device.Submit(prepared.list);
    for (size_t i = 0; i < prepared.operands.size(); ++i) {
      if (prepared.operands[i].expected.empty() || !prepared.operands[i].present) continue;
      const auto bytes = device.Download(prepared.buffers[i], 0, prepared.buffers[i].size_bytes());
      EXPECT_EQ(CompareOperand(prepared.operands[i], bytes), "")
          << prepared.variant << ", operand " << i;
    }
    device.Check();
  }

 private:
  KernelCase case_;
  std::string variant_;
};

struct Pair {
  const KernelCase* kernel_case;
  std::string variant;
};

// Returns the pairs of a kernel's cases and variants that are tested. Consecutive cases of one name
// are one case whose operands depend on the variant.
std::vector<Pair> ChoosePairs(const std::vector<KernelCase>& cases, bool all) {
  std::vector<Pair> chosen, group;
  std::set<std::string> seen;
  size_t turn = 0;
  const auto choose_of_group = [&] {
    for (size_t i = 0; i < group.size(); ++i) {
      const bool is_new = seen.insert(group[i].variant).second;
      if (all || is_new || i == turn % group.size()) chosen.push_back(group[i]);
    }
    turn += 1;
    group.clear();
  };
  for (const KernelCase& kernel_case : cases) {
    if (kernel_case.benchmark_only) continue;
    if (!group.empty() && group.front().kernel_case->name != kernel_case.name) choose_of_group();
    for (const std::string& variant : kernel_case.variants) {
      group.push_back({&kernel_case, variant});
      // Cases of real sizes exist for timing, so one variant is enough.
      if (kernel_case.bytes >= kRealBytes) break;
    }
  }
  choose_of_group();
  return chosen;
}

// One test of this program.
struct Test {
  std::string kernel;
  // Selects the test to run.
  std::function<void()> choose;
};

// Appends the tests that the files define themselves. Choosing one adds it to `filter`.
void AppendOwnTests(std::vector<Test>& tests, std::string& filter) {
  const testing::UnitTest& program = *testing::UnitTest::GetInstance();
  for (int i = 0; i < program.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *program.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const testing::TestInfo& test = *suite.GetTestInfo(j);
      std::string kernel = std::filesystem::path(test.file()).stem();
      kernel.resize(kernel.size() - std::string_view("_test").size());
      std::string name = std::string(suite.name()) + "." + test.name() + ":";
      tests.push_back({std::move(kernel), [&filter, name = std::move(name)] { filter += name; }});
    }
  }
}

// Appends the pairs of case and variant. Choosing one registers it and adds its kernel's tests to
// `filter`.
void AppendCases(std::vector<Test>& tests, std::string& filter) {
  const bool all = std::getenv("SINTER_TEST_ALL") != nullptr;
  for (const auto& [kernel, make_cases] : RegisteredKernelCases()) {
    const std::vector<KernelCase> cases = make_cases(TestDevice().caps());
    for (const Pair& pair : ChoosePairs(cases, all)) {
      tests.push_back(
          {kernel,
           [&filter, kernel = kernel, kernel_case = *pair.kernel_case, variant = pair.variant] {
             const std::string name = kernel_case.name + (variant.empty() ? "" : "/" + variant);
             testing::RegisterTest(
                 kernel.c_str(), name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                 [=]() -> testing::Test* { return new KernelCaseTest(kernel_case, variant); });
             filter += kernel + ".*:";
           }});
    }
  }
}

// Chooses the tests of this process's shard.
void ChooseTests() {
  std::string filter;
  std::vector<Test> tests;
  AppendOwnTests(tests, filter);
  AppendCases(tests, filter);
  std::ranges::stable_sort(tests, {}, &Test::kernel);
  size_t begin = 0, end = tests.size();
  if (const char* shards = std::getenv("GTEST_TOTAL_SHARDS")) {
    const size_t count = std::stoul(shards), index = std::stoul(std::getenv("GTEST_SHARD_INDEX"));
    begin = tests.size() * index / count;
    end = tests.size() * (index + 1) / count;
    unsetenv("GTEST_TOTAL_SHARDS");
    unsetenv("GTEST_SHARD_INDEX");
  }
  const bool sharded = end - begin < tests.size();
  for (size_t i = begin; i < end; ++i) tests[i].choose();
  if (sharded) GTEST_FLAG_SET(filter, filter);
}

// Registers one test in place of all others, which fails with `message`.
void RegisterFailure(const std::string& message) {
  struct Failing : testing::Test {
    explicit Failing(std::string text) : message(std::move(text)) {}
    void TestBody() override { FAIL() << message; }
    const std::string message;
  };
  testing::RegisterTest("device", "opens", nullptr, nullptr, __FILE__, __LINE__,
                        [=]() -> testing::Test* { return new Failing(message); });
  unsetenv("GTEST_TOTAL_SHARDS");
  unsetenv("GTEST_SHARD_INDEX");
  GTEST_FLAG_SET(filter, "device.opens");
}

}  // namespace
}  // namespace sinter::kernels

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  try {
    sinter::kernels::ChooseTests();
  } catch (const std::exception& error) {
    sinter::kernels::RegisterFailure(error.what());
  }
  return RUN_ALL_TESTS();
}

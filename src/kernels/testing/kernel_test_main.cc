// Turns every registered kernel case and variant into a GoogleTest test, beside the tests that the
// files hold themselves.

#include <gtest/gtest.h>

#include "kernels/testing/kernel_case.h"
#include "kernels/testing/kernel_run.h"

namespace sinter::kernels {
namespace {

// What a case moves from which on it is of real size, and takes a software GPU long.
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

}  // namespace
}  // namespace sinter::kernels

int main(int argc, char** argv) {
  using namespace sinter::kernels;  // NOLINT: a main of one screen
  testing::InitGoogleTest(&argc, argv);
  for (const auto& [kernel, make_cases] : RegisteredKernelCases()) {
    for (const KernelCase& kernel_case : make_cases(TestDevice().caps())) {
      if (kernel_case.benchmark_only) continue;
      // Cases of real sizes are there to be timed; small ones try every variant.
      const bool timed = kernel_case.bytes >= kRealBytes;
      for (const std::string& variant : kernel_case.variants) {
        if (timed && &variant != &kernel_case.variants.front()) break;
        const std::string name = kernel_case.name + (variant.empty() ? "" : "/" + variant);
        testing::RegisterTest(
            kernel.c_str(), name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
            [=]() -> testing::Test* { return new KernelCaseTest(kernel_case, variant); });
      }
    }
  }
  return RUN_ALL_TESTS();
}

#include "kernels/matrix_peak/matrix_peak.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/common/matrix_config.h"
#include "kernels/testing/kernel_case.h"
#include "run/probes.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

// Returns small whole numbers, whose sums are exact.
std::vector<double> WholeNumbers(size_t count, uint32_t seed) {
  std::vector<double> values = RandomValues(DType::kF32, count, seed, 2.0);
  for (double& value : values) value = std::round(value);
  return values;
}

const bool kRegistered = RegisterKernelCases("matrix_peak", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto config = FindMatrixConfig(caps);
  if (!config) return cases;
  for (const MatrixPeakShape shape :
       {MatrixPeakShape{1, 1}, MatrixPeakShape{3, 7}, MatrixPeakShape{528, 1024}}) {
    KernelCase c;
    c.name = fmt::format("g{}.r{}", shape.workgroups, shape.rounds);
    c.operands = [=]() -> std::vector<Operand> {
      const uint32_t m = config->m, n = config->n, k = config->k;
      std::vector<double> lefts = WholeNumbers(size_t{4} * m * k, 1);
      std::vector<double> rights = WholeNumbers(size_t{4} * k * n, 2);
      std::vector<double> sums = MatrixPeakReference(shape, m, n, k, lefts, rights);
      return {Operand::Input(DType::kF16, std::move(lefts)),
              Operand::Input(DType::kF16, std::move(rights)),
              Operand::Output(DType::kF32, std::move(sums), 0)};
    };
    c.variants = {"f16"};
    c.plan = [=](const Caps& actual, std::string_view variant) {
      return PlanMatrixPeak(actual, shape, variant);
    };
    c.benchmark_only = shape.workgroups > 3;
    if (c.benchmark_only) {
      c.flops = MatrixPeakFlops(caps, shape);
      c.bytes = 64.0 * shape.workgroups * 4 * config->m * config->n;
    }
    cases.push_back(std::move(c));
  }
  return cases;
});

TEST(MatrixPeak, MeasuresSomethingAndGivesItsMemoryBack) {
  gpu::Device& device = TestDevice();
  device.Wait();
  const uint64_t before = device.allocated_bytes();
  const double flops = run::MeasureMatrixPeak(device);
  if (FindMatrixConfig(device.caps())) {
    EXPECT_GT(flops, 1e6);
    EXPECT_LT(flops, 1e18);
  } else {
    EXPECT_EQ(flops, 0);
  }
  EXPECT_EQ(device.allocated_bytes(), before);
}

TEST(MatrixPeak, RefusesWhatItDoesNotHave) {
  EXPECT_THROW(PlanMatrixPeak({}, {}), Error);
  EXPECT_THROW(PlanMatrixPeak({}, {.workgroups = 0}), Error);
  EXPECT_THROW(PlanMatrixPeak({}, {.workgroups = 65536}), Error);
  EXPECT_THROW(PlanMatrixPeak({}, {}, "bf16"), Error);
}

}  // namespace
}  // namespace sinter::kernels

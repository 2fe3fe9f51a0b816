#include "kernels/bandwidth/bandwidth.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"
#include "run/probes.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

std::vector<Operand> MakeOperands(const BandwidthShape& shape) {
  std::vector<std::byte> raw = RandomBytes(shape.bytes, 1);
  std::vector<uint32_t> words(raw.size() / 4);
  std::memcpy(words.data(), raw.data(), raw.size());
  const std::vector<uint32_t> sums =
      BandwidthReference(words, shape.workgroups * kBandwidthWorkgroup);
  return {Operand::Packed(std::move(raw)),
          Operand::Output(DType::kU32, {sums.begin(), sums.end()}, 0)};
}

const bool kRegistered = RegisterKernelCases("bandwidth", [](const Caps&) {
  std::vector<KernelCase> cases;
  for (const BandwidthShape shape :
       {BandwidthShape{16, 1}, BandwidthShape{16 * 255, 1}, BandwidthShape{16 * 257, 1},
        BandwidthShape{16 * 5 * 7 * 11 * 13, 3}, BandwidthShape{16 * 1024 * 12, 4},
        BandwidthShape{uint64_t{64} << 20, 2112}}) {
    KernelCase c;
    c.name = fmt::format("b{}.g{}", shape.bytes, shape.workgroups);
    c.operands = [=] { return MakeOperands(shape); };
    c.variants = {"vec4"};
    c.plan = [=](const Caps& caps, std::string_view variant) {
      return PlanBandwidth(caps, shape, variant);
    };
    c.bytes = static_cast<double>(shape.bytes);
    cases.push_back(std::move(c));
  }
  return cases;
});

TEST(Bandwidth, MeasuresSomethingAndGivesItsMemoryBack) {
  gpu::Device& device = TestDevice();
  device.Wait();
  const uint64_t before = device.allocated_bytes();
  const double bytes_per_second = run::MeasureReadBandwidth(device, uint64_t{4} << 20);
  EXPECT_GT(bytes_per_second, 1e6);
  EXPECT_LT(bytes_per_second, 1e15);
  EXPECT_EQ(device.allocated_bytes(), before);
}

TEST(Bandwidth, RefusesShapesOutOfRange) {
  EXPECT_THROW(PlanBandwidth({}, {.bytes = 0}), Error);
  EXPECT_THROW(PlanBandwidth({}, {.bytes = 24}), Error);
  EXPECT_THROW(PlanBandwidth({}, {.bytes = uint64_t{1} << 35}), Error);
  EXPECT_THROW(PlanBandwidth({}, {.bytes = 16, .workgroups = 0}), Error);
  EXPECT_THROW(PlanBandwidth({}, {.bytes = 16, .workgroups = 65536}), Error);
  EXPECT_THROW(PlanBandwidth({}, {.bytes = 16}, "vec8"), Error);
}

}  // namespace
}  // namespace sinter::kernels

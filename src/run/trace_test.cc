// Tests sums and traces of made-up profiles. model/profile_test.cc tests the profiles themselves.

#include "run/trace.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace sinter::run {
namespace {

DispatchTime Time(std::string variant, double begin, double nanoseconds, double bytes = 0,
                  double flops = 0) {
  return {"Op /node", std::move(variant), nanoseconds, begin, bytes, flops};
}

TEST(SumByKernel, SumsAndSorts) {
  const std::vector<DispatchTime> times = {Time("a", 0, 100, 50), Time("b", 100, 300, 0, 600),
                                           Time("a", 400, 100, 150)};
  const std::vector<KernelTime> kernels = SumByKernel(times);
  ASSERT_EQ(kernels.size(), 2u);
  EXPECT_EQ(kernels[0].variant, "b");
  EXPECT_DOUBLE_EQ(kernels[0].share, 0.6);
  EXPECT_DOUBLE_EQ(kernels[0].flops_per_second(), 2e9);
  EXPECT_EQ(kernels[1].count, 2u);
  EXPECT_DOUBLE_EQ(kernels[1].nanoseconds, 200);
  EXPECT_DOUBLE_EQ(kernels[1].bytes_per_second(), 1e9);
}

TEST(SumByKernel, NoTimeIsNoRate) {
  const std::vector<DispatchTime> times = {Time("a", 0, 0, 10, 10)};
  const std::vector<KernelTime> kernels = SumByKernel(times);
  EXPECT_EQ(kernels[0].share, 0);
  EXPECT_EQ(kernels[0].bytes_per_second(), 0);
  EXPECT_EQ(kernels[0].flops_per_second(), 0);
  EXPECT_TRUE(SumByKernel({}).empty());
}

TEST(WriteChromeTrace, EachTrackIsAProcessThatBeginsAtZero) {
  const std::vector<TraceTrack> tracks = {
      {"decode", {Time("a", 5000, 1000, 64), Time("b", 7000, 500)}},
      {"pre\"fill\xff", {Time("c", 9e15, 250)}}};
  std::ostringstream stream;
  WriteChromeTrace(tracks, stream);
  const nlohmann::json events = nlohmann::json::parse(stream.str()).at("traceEvents");
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[0]["args"]["name"], "decode");
  EXPECT_EQ(events[1]["ts"], 0);
  EXPECT_EQ(events[1]["dur"], 1);
  EXPECT_EQ(events[1]["args"]["bytes"], 64);
  EXPECT_EQ(events[2]["ts"], 2);
  EXPECT_EQ(events[2]["pid"], 1);
  EXPECT_EQ(events[4]["pid"], 2);
  EXPECT_EQ(events[4]["ts"], 0);
}

TEST(WriteChromeTrace, NothingIsAnEmptyTrace) {
  std::ostringstream stream;
  WriteChromeTrace({}, stream);
  EXPECT_TRUE(nlohmann::json::parse(stream.str()).at("traceEvents").empty());
}

}  // namespace
}  // namespace sinter::run

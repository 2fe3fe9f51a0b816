// Tests when a measurement settles, with made-up readings and a made-up clock.

#include "run/measure.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/device.h"

namespace sinter::run {
namespace {

struct Outcome {
  double value = 0;
  size_t readings = 0;
};

// Runs ReadSettled on `readings` in order, the last one repeated; each reading takes `seconds`.
Outcome Settle(const std::vector<double>& readings, double seconds,
               const SettleOptions& options = {}) {
  Outcome outcome;
  double clock = 100;
  const auto read = [&] {
    clock += seconds;
    const size_t at = outcome.readings++;
    return readings[at < readings.size() ? at : readings.size() - 1];
  };
  outcome.value = ReadSettled(
      read, [&] { return clock; }, options);
  return outcome;
}

void ExpectOutcome(const Outcome& outcome, double value, size_t readings) {
  EXPECT_EQ(outcome.value, value);
  EXPECT_EQ(outcome.readings, readings);
}

TEST(ReadSettled, TwoReadingsThatAgreeAreEnough) {
  ExpectOutcome(Settle({0.5, 0.49, 7}, 0.1), 0.49, 2);
  ExpectOutcome(Settle({0, 0}, 0.1), 0, 2);
}

TEST(ReadSettled, WaitsWhileTheClockRampsUp) {
  ExpectOutcome(Settle({8, 4, 2, 1.1, 1.0, 1.01, 5}, 0.1), 1.01, 6);
}

TEST(ReadSettled, TheToleranceIsAShareOfTheLarger) {
  ExpectOutcome(Settle({100, 97}, 0.1), 97, 2);
  ExpectOutcome(Settle({97, 100}, 0.1), 100, 2);
  ExpectOutcome(Settle({100, 96.9, 50, 50}, 0.1), 50, 4);
  ExpectOutcome(Settle({100, 50, 49}, 0.1, {.tolerance = 0.5}), 50, 2);
}

TEST(ReadSettled, ReadingsThatAgreeOnlyWithAnEarlierOneDoNotCount) {
  ExpectOutcome(Settle({1, 2, 1, 2, 1, 1}, 0.1), 1, 6);
}

TEST(ReadSettled, TakesTheLastReadingWhenTimeIsUp) {
  ExpectOutcome(Settle({1, 2, 4, 8, 16, 32}, 0.25), 8, 4);
  ExpectOutcome(Settle({1, 2, 4, 8, 16, 32}, 0.25, {.max_seconds = 0.5}), 2, 2);
  // A single slow reading has nothing to be compared with, so a second one is taken.
  ExpectOutcome(Settle({1, 2, 4}, 5), 2, 2);
}

TEST(MedianSeconds, MeasuresOnTheDevice) {
  gpu::Device& device = *support::SharedDevice();
  const gpu::Buffer buffer = device.CreateBuffer(uint64_t{1} << 20, "cleared");
  gpu::CommandList list(device);
  list.Clear(buffer, 0, buffer.size_bytes());
  const double seconds = MedianSeconds(device, list);
  EXPECT_GT(seconds, 0);
  EXPECT_LT(seconds, 10);
}

}  // namespace
}  // namespace sinter::run

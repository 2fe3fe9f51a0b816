// Tests the gate between work and measuring: which side waits for the other.

#include "engine/work_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace sinter::engine {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(WorkGate, WorkWaitsForTheEndOfASlice) {
  WorkGate gate;
  ASSERT_TRUE(gate.BeginSlice({}));
  EXPECT_FALSE(gate.BeginSlice({})) << "one slice at a time";
  EXPECT_FALSE(gate.WorkWaits());
  std::atomic<bool> began = false;
  std::thread work([&] {
    const WorkGate::Scope scope(gate);
    began = true;
  });
  while (!gate.WorkWaits()) std::this_thread::yield();
  EXPECT_FALSE(began);
  gate.EndSlice();
  work.join();
  EXPECT_TRUE(began);
  EXPECT_FALSE(gate.WorkWaits());
}

TEST(WorkGate, ASliceBeginsNeitherDuringWorkNorSoonAfter) {
  WorkGate gate;
  {
    const WorkGate::Scope one(gate);
    {
      const WorkGate::Scope other(gate);
      EXPECT_FALSE(gate.BeginSlice({}));
    }
    EXPECT_FALSE(gate.BeginSlice({}));
  }
  EXPECT_FALSE(gate.BeginSlice(hours(1)));
  ASSERT_TRUE(gate.BeginSlice({}));
  gate.EndSlice();
  std::this_thread::sleep_for(milliseconds(2));
  EXPECT_TRUE(gate.BeginSlice(milliseconds(1)));
  gate.EndSlice();
}

// A slice does not count as work, so the next one may begin at once.
TEST(WorkGate, SlicesFollowEachOther) {
  WorkGate gate;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(gate.BeginSlice(hours(1)));
    gate.EndSlice();
  }
}

// Slices and work are never in progress at the same time, in any interleaving.
TEST(WorkGateThreads, NeverMixWorkWithSlices) {
  WorkGate gate;
  std::atomic<int> work = 0, slices = 0, mixed = 0;
  std::atomic<bool> done = false;
  std::thread measuring([&] {
    while (!done) {
      if (!gate.BeginSlice({})) {
        std::this_thread::yield();
        continue;
      }
      mixed += work;
      ++slices;
      // Work that waits for the slice does not count as in progress.
      while (!gate.WorkWaits() && !done) std::this_thread::yield();
      mixed += work;
      gate.EndSlice();
    }
  });
  while (slices == 0) std::this_thread::yield();
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const WorkGate::Scope scope(gate);
        ++work;
        std::this_thread::yield();
        --work;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  measuring.join();
  EXPECT_EQ(mixed, 0);
}

}  // namespace
}  // namespace sinter::engine

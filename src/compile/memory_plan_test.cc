// Tests that no two intermediate results that are alive at once share a slot.

#include "compile/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace sinter::compile {
namespace {

int Add(Lowered& lowered, BufferInfo::Kind kind, uint64_t bytes) {
  lowered.buffers.push_back({kind, "", bytes});
  return static_cast<int>(lowered.buffers.size()) - 1;
}

void Use(Lowered& lowered, std::initializer_list<int> buffers) {
  Dispatch dispatch;
  for (const int buffer : buffers) dispatch.operands.push_back({{}, {buffer}});
  lowered.dispatches.push_back(std::move(dispatch));
}

constexpr auto kIntermediate = BufferInfo::Kind::kIntermediate;

// In a -> b -> c -> d each value is read once, right after it was written, so two slots are enough.
TEST(MemoryPlan, AChainNeedsTwoSlots) {
  Lowered lowered;
  const int input = Add(lowered, BufferInfo::Kind::kExternal, 64);
  const int weight = Add(lowered, BufferInfo::Kind::kWeight, 64);
  int last = input;
  for (int i = 0; i < 6; ++i) {
    const int next = Add(lowered, kIntermediate, 100);
    Use(lowered, {last, weight, next});
    last = next;
  }
  const int unused = Add(lowered, kIntermediate, 1000);
  const MemoryPlan plan = PlanMemory(lowered);
  EXPECT_EQ(plan.slot_bytes, (std::vector<uint64_t>{100, 100}));
  EXPECT_EQ(plan.total_bytes(), 200u);
  for (const int buffer : {input, weight, unused})
    EXPECT_EQ(plan.slot_of[static_cast<size_t>(buffer)], -1);
}

TEST(MemoryPlan, WhatADispatchReadsAndWritesIsApart) {
  Lowered lowered;
  const int a = Add(lowered, kIntermediate, 16), b = Add(lowered, kIntermediate, 16);
  Use(lowered, {a});
  Use(lowered, {a, b});
  Use(lowered, {b});
  const MemoryPlan plan = PlanMemory(lowered);
  EXPECT_NE(plan.slot_of[static_cast<size_t>(a)], plan.slot_of[static_cast<size_t>(b)]);
}

TEST(MemoryPlan, NothingIsFine) { EXPECT_EQ(PlanMemory({}).total_bytes(), 0u); }

TEST(MemoryPlan, HoldsForRandomPrograms) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    Lowered lowered;
    const size_t buffers = 1 + random() % 30, dispatches = random() % 40;
    for (size_t i = 0; i < buffers; ++i) {
      const auto kind =
          random() % 4 == 0 ? static_cast<BufferInfo::Kind>(1 + random() % 2) : kIntermediate;
      Add(lowered, kind, 4 * (1 + random() % 100));
    }
    for (size_t i = 0; i < dispatches; ++i) {
      Dispatch dispatch;
      for (size_t operands = random() % 5; operands > 0; --operands) {
        // A dispatch names buffers that were created at about the same time, as in real programs.
        const size_t at = i * buffers / dispatches + random() % 5;
        dispatch.operands.push_back({{}, {static_cast<int>(at % buffers)}});
      }
      lowered.dispatches.push_back(std::move(dispatch));
    }

    const MemoryPlan plan = PlanMemory(lowered);
    ASSERT_EQ(plan.slot_of.size(), buffers);
    std::vector<std::pair<int, int>> lives(buffers, {-1, -1});
    for (size_t i = 0; i < dispatches; ++i) {
      for (const Operand& operand : lowered.dispatches[i].operands) {
        auto& [begin, end] = lives[static_cast<size_t>(operand.buffer.buffer)];
        if (begin < 0) begin = static_cast<int>(i);
        end = static_cast<int>(i);
      }
    }
    uint64_t sum = 0;
    std::vector<uint64_t> at_once(dispatches);
    for (size_t a = 0; a < buffers; ++a) {
      const bool placed = lowered.buffers[a].kind == kIntermediate && lives[a].first >= 0;
      ASSERT_EQ(plan.slot_of[a] >= 0, placed);
      if (!placed) continue;
      ASSERT_GE(plan.slot_bytes[static_cast<size_t>(plan.slot_of[a])], lowered.buffers[a].bytes);
      sum += lowered.buffers[a].bytes;
      for (int i = lives[a].first; i <= lives[a].second; ++i) {
        at_once[static_cast<size_t>(i)] += lowered.buffers[a].bytes;
      }
      for (size_t b = 0; b < a; ++b) {
        if (plan.slot_of[a] != plan.slot_of[b]) continue;
        ASSERT_TRUE(lives[a].second < lives[b].first || lives[b].second < lives[a].first)
            << a << " and " << b << " share a slot";
      }
    }
    ASSERT_LE(plan.total_bytes(), sum);
    if (dispatches > 0) {
      ASSERT_GE(plan.total_bytes(), *std::max_element(at_once.begin(), at_once.end()));
    }
  }
}

}  // namespace
}  // namespace sinter::compile

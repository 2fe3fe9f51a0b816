// Tests prompt cutting against results known by hand and, for short prompts, against all possible
// cuts.

#include "model/chunking.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>

#include "base/check.h"

namespace sinter::model {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kWide = 1 << 20;

std::vector<int64_t> Cut(int64_t tokens, int64_t chunk, const RunCosts& costs,
                         int64_t room = kWide) {
  return CutPrompt(tokens, room, ChunkLengths(chunk), costs);
}

int64_t Sum(const std::vector<int64_t>& runs) {
  return std::accumulate(runs.begin(), runs.end(), int64_t{0});
}

int64_t Cost(const std::vector<int64_t>& runs, const RunCosts& costs) {
  int64_t cost = 0;
  for (const int64_t rows : runs) cost += costs.Of(rows);
  return cost;
}

void ExpectACut(const std::vector<int64_t>& runs, int64_t tokens, int64_t chunk, int64_t room) {
  const std::vector<int64_t> lengths = ChunkLengths(chunk);
  for (const int64_t rows : runs)
    EXPECT_TRUE(rows == 1 || std::count(lengths.begin(), lengths.end(), rows) == 1) << rows;
  EXPECT_TRUE(std::is_sorted(runs.rbegin(), runs.rend()));
  EXPECT_GE(Sum(runs), tokens);
  EXPECT_LE(Sum(runs), room);
  // The last run holds at least one token, so all padding is in it.
  EXPECT_LT(Sum(runs) - runs.back(), tokens);
}

TEST(ChunkLengths, AreThoseBelowTheChunkAndTheChunk) {
  EXPECT_THAT(ChunkLengths(2048), ElementsAre(16, 64, 256, 512, 1024, 2048));
  EXPECT_THAT(ChunkLengths(512), ElementsAre(16, 64, 256, 512));
  EXPECT_THAT(ChunkLengths(600), ElementsAre(16, 64, 256, 512, 600));
  EXPECT_THAT(ChunkLengths(16), ElementsAre(16));
  EXPECT_THAT(ChunkLengths(1), ElementsAre(1));
}

TEST(ChunkFor, KeepsARunShort) {
  EXPECT_EQ(ChunkFor(10'100), 2048);
  EXPECT_EQ(ChunkFor(24'900), 2048);
  EXPECT_EQ(ChunkFor(25'100), 1024);
  EXPECT_EQ(ChunkFor(49'900), 1024);
  EXPECT_EQ(ChunkFor(50'100), 512);
  EXPECT_EQ(ChunkFor(9e6), 512);
}

TEST(CacheRows, LeaveRoomForPadding) {
  EXPECT_EQ(CacheRows(4096, 0), 4096 + 256);
  EXPECT_EQ(CacheRows(4096, 2048), 4096 + 256);
  EXPECT_EQ(CacheRows(240, 16), 256);
  EXPECT_EQ(CacheRows(20, 0), 40);
  for (const int64_t chunk : {0, 1, 16, 2048}) {
    for (int64_t rows = 2; rows < 1000; ++rows) {
      const int64_t longest = LongestWithin(rows, chunk);
      EXPECT_LE(CacheRows(longest, chunk), rows) << chunk;
      EXPECT_GT(CacheRows(longest + 1, chunk), rows) << chunk;
    }
  }
}

TEST(CutPrompt, OnAGpuTakesFewRuns) {
  const auto cut = [](int64_t tokens) { return Cut(tokens, 2048, kGpuCosts); };
  EXPECT_THAT(cut(1), ElementsAre(1));
  EXPECT_THAT(cut(2), ElementsAre(16));
  EXPECT_THAT(cut(15), ElementsAre(16));
  EXPECT_THAT(cut(16), ElementsAre(16));
  EXPECT_THAT(cut(17), ElementsAre(64));
  EXPECT_THAT(cut(24), ElementsAre(64));
  EXPECT_THAT(cut(63), ElementsAre(64));
  EXPECT_THAT(cut(64), ElementsAre(64));
  EXPECT_THAT(cut(65), ElementsAre(256));
  EXPECT_THAT(cut(257), ElementsAre(256, 1));
  EXPECT_THAT(cut(273), ElementsAre(512));
  EXPECT_THAT(cut(511), ElementsAre(512));
  EXPECT_THAT(cut(512), ElementsAre(512));
  EXPECT_THAT(cut(513), ElementsAre(512, 1));
  EXPECT_THAT(cut(600), ElementsAre(512, 256));
  EXPECT_THAT(cut(769), ElementsAre(1024));
  EXPECT_THAT(cut(1601), ElementsAre(2048));
  EXPECT_THAT(cut(2047), ElementsAre(2048));
  EXPECT_THAT(cut(2048), ElementsAre(2048));
  EXPECT_THAT(cut(2049), ElementsAre(2048, 1));
  // 100,000 = 48 * 2,048 + 1,696
  EXPECT_EQ(cut(100'000), std::vector<int64_t>(49, 2048));
}

TEST(CutPrompt, OnACpuTakesFewRows) {
  const auto cut = [](int64_t tokens) { return Cut(tokens, 512, kSoftwareCosts); };
  // Returns `runs` followed by single tokens.
  const auto and_tokens = [](std::vector<int64_t> runs, size_t tokens) {
    runs.insert(runs.end(), tokens, 1);
    return runs;
  };
  EXPECT_THAT(cut(1), ElementsAre(1));
  EXPECT_THAT(cut(2), ElementsAre(1, 1));
  EXPECT_EQ(cut(8), and_tokens({}, 8));
  EXPECT_THAT(cut(9), ElementsAre(16));
  EXPECT_THAT(cut(16), ElementsAre(16));
  EXPECT_THAT(cut(17), ElementsAre(16, 1));
  EXPECT_EQ(cut(24), and_tokens({16}, 8));
  EXPECT_THAT(cut(25), ElementsAre(16, 16));
  EXPECT_THAT(cut(36), ElementsAre(64));
  EXPECT_THAT(cut(63), ElementsAre(64));
  EXPECT_THAT(cut(65), ElementsAre(64, 1));
  EXPECT_THAT(cut(513), ElementsAre(512, 1));
  EXPECT_EQ(cut(600), and_tokens({512, 64, 16}, 8));
}

TEST(CutPrompt, StaysWithinTheRoom) {
  EXPECT_THAT(Cut(600, 512, kGpuCosts, 768), ElementsAre(512, 256));
  EXPECT_THAT(Cut(600, 512, kGpuCosts, 767), ElementsAre(512, 64, 64));
  EXPECT_THAT(Cut(15, 512, kGpuCosts, 16), ElementsAre(16));
  EXPECT_THAT(Cut(3, 512, kGpuCosts, 15), ElementsAre(1, 1, 1));
  EXPECT_THAT(Cut(512, 512, kGpuCosts, 512), ElementsAre(512));
  for (int64_t tokens = 1; tokens < 300; ++tokens) {
    for (const int64_t room : {tokens, tokens + 7, tokens + 16})
      ExpectACut(Cut(tokens, 2048, kGpuCosts, room), tokens, 2048, room);
  }
  EXPECT_THROW(Cut(5, 16, kGpuCosts, 4), BugError);
  EXPECT_THROW(Cut(0, 16, kGpuCosts, 4), BugError);
}

TEST(CutPrompt, CoversEveryToken) {
  for (const RunCosts& costs : {kGpuCosts, kSoftwareCosts}) {
    for (const int64_t chunk : {1, 3, 7, 16, 48, 300, 512, 2048}) {
      for (const int64_t tokens : {1, 2, 15, 16, 17, 511, 600, 2049, 4095, 4097, 6001, 100'000}) {
        SCOPED_TRACE(
            fmt::format("{} tokens, chunk {}, overhead {}", tokens, chunk, costs.overhead));
        ExpectACut(Cut(tokens, chunk, costs), tokens, chunk, kWide);
      }
    }
  }
}

// Tries all sets of runs by brute force. Only the last run may have padding.
TEST(CutPrompt, IsTheCheapestOfAll) {
  for (const RunCosts& costs : {RunCosts{1, 0}, RunCosts{6, 5}, kSoftwareCosts, kGpuCosts}) {
    for (const int64_t chunk : {3, 16, 40, 100}) {
      const std::vector<int64_t> lengths = ChunkLengths(chunk);
      for (int64_t tokens = 1; tokens <= 2 * chunk; ++tokens) {
        for (const int64_t room : {tokens, tokens + 9, kWide}) {
          int64_t least = INT64_MAX;
          size_t kinds = 0;
          std::set<int64_t> used;
          // Ascending runs produce each set exactly once.
          const std::function<void(size_t, int64_t, int64_t)> search =
              [&](size_t from, int64_t rows, int64_t cost) {
                if (rows > room || cost > least) return;
                if (rows >= tokens) {
                  if (cost < least || used.size() < kinds) kinds = used.size();
                  least = cost;
                  return;
                }
                for (size_t i = from; i <= lengths.size(); ++i) {
                  const int64_t length = i == lengths.size() ? 1 : lengths[lengths.size() - 1 - i];
                  const bool fresh = used.insert(length).second;
                  search(i, rows + length, cost + costs.Of(length));
                  if (fresh) used.erase(length);
                }
              };
          search(0, 0, 0);
          SCOPED_TRACE(fmt::format("{} tokens, chunk {}, overhead {}, room {}", tokens, chunk,
                                   costs.overhead, room));
          const std::vector<int64_t> runs = Cut(tokens, chunk, costs, room);
          ExpectACut(runs, tokens, chunk, room);
          EXPECT_EQ(Cost(runs, costs), least);
          EXPECT_EQ(std::set<int64_t>(runs.begin(), runs.end()).size(), kinds);
        }
      }
    }
  }
}

// Checks that a cache's room for padding allows cuts that cost little more than the cheapest.
TEST(CutPrompt, LosesLittleAtTheEndOfTheCache) {
  for (int64_t tokens = 1; tokens <= 4096; ++tokens) {
    const int64_t free = Cost(Cut(tokens, 2048, kGpuCosts), kGpuCosts);
    const int64_t tight = Cost(Cut(tokens, 2048, kGpuCosts, tokens + 256), kGpuCosts);
    EXPECT_LT(static_cast<double>(tight), 1.08 * static_cast<double>(free)) << tokens;
  }
}

}  // namespace
}  // namespace sinter::model

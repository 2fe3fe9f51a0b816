#include "kernels/common/row_split.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace sinter::kernels {
namespace {

Caps CapsWithBinding(uint64_t bytes) {
  Caps caps;
  caps.limits.max_storage_binding_bytes = bytes;
  caps.limits.min_storage_offset_alignment = 256;
  return caps;
}

TEST(SplitRows, OneRangeForWhatFits) {
  const uint64_t row_bytes[] = {1024, 128};
  EXPECT_EQ(SplitRows(CapsWithBinding(1 << 20), 1024, row_bytes),
            (std::vector<RowRange>{{0, 1024}}));
}

TEST(SplitRows, CoversAllRowsAlignedAndWithinTheLimit) {
  // The vocabulary of Qwen3 has 151936 rows of 1024 + 128 + 1 + 2 bytes. One byte per row aligns
  // only every 256 rows.
  const uint64_t row_bytes[] = {1024, 128, 1, 2};
  const Caps caps = CapsWithBinding(128u << 20);
  const auto ranges = SplitRows(caps, 151936, row_bytes);
  ASSERT_EQ(ranges.size(), 2u);
  uint64_t next = 0;
  for (const RowRange& range : ranges) {
    EXPECT_EQ(range.begin, next);
    next += range.count;
    for (const uint64_t bytes : row_bytes) {
      EXPECT_EQ(range.begin * bytes % 256, 0u);
      EXPECT_LE(range.count * bytes, 128u << 20);
    }
  }
  EXPECT_EQ(next, 151936u);
}

TEST(SplitRows, AbsentTensorsDoNotConstrain) {
  const uint64_t row_bytes[] = {1000, 0};
  EXPECT_EQ(SplitRows(CapsWithBinding(33000), 40, row_bytes),
            (std::vector<RowRange>{{0, 32}, {32, 8}}));
}

TEST(SplitRows, BoundsRows) {
  const uint64_t row_bytes[] = {256};
  EXPECT_EQ(SplitRows(CapsWithBinding(1 << 20), 5, row_bytes, 2),
            (std::vector<RowRange>{{0, 2}, {2, 2}, {4, 1}}));
}

TEST(SplitRows, SaysWhereNothingFits) {
  const uint64_t row_bytes[] = {4097};
  EXPECT_THROW(SplitRows(CapsWithBinding(64 << 10), 1000, row_bytes), Error);
}

}  // namespace
}  // namespace sinter::kernels

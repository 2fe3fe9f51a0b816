#include "graph/shape_math.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace sinter::graph {
namespace {

TEST(Count, IsExactOrRefused) {
  EXPECT_EQ(Count(INT32_MAX), uint32_t{INT32_MAX});
  EXPECT_EQ(Count({2, 3, 5, 7}, 1, 3), 15u);
  EXPECT_EQ(Count({2, 3}, 1, 1), 1u);
  EXPECT_THROW(Count(int64_t{INT32_MAX} + 1), Error);
  EXPECT_THROW(Count(-1), Error);
  // The product does not fit 64 bits.
  EXPECT_THROW(Count({int64_t{1} << 40, int64_t{1} << 40}, 0, 2), Error);
}

}  // namespace
}  // namespace sinter::graph

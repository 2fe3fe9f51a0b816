#include "base/bytes_text.h"

#include <gtest/gtest.h>

namespace sinter {
namespace {

TEST(BytesText, UsesDecimalUnits) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(999), "999 B");
  EXPECT_EQ(BytesText(1000), "1.0 kB");
  EXPECT_EQ(BytesText(2'345'678), "2.3 MB");
  EXPECT_EQ(BytesText(700'000'000), "700.0 MB");
  EXPECT_EQ(BytesText(4'300'000'000), "4.3 GB");
  EXPECT_EQ(BytesText(UINT64_MAX), "18446744.1 TB");
}

}  // namespace
}  // namespace sinter

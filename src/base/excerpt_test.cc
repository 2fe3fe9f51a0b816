#include "base/excerpt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sinter {
namespace {

TEST(Excerpt, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(Excerpt("short"), "short");
  EXPECT_EQ(Excerpt(std::string("\x1b[2J\0", 5)), "\\x1b[2J\\x00");
  EXPECT_EQ(Excerpt("abcdef", 3), "abc... (6 bytes)");
  EXPECT_EQ(Excerpt("a\xE2\x82\xACz", 3), "a... (5 bytes)");
  EXPECT_EQ(Excerpt(std::string(8, '\x80'), 6).substr(3), "... (8 bytes)");
}

TEST(CutMiddle, KeepsBothEnds) {
  EXPECT_EQ(CutMiddle("short"), "short");
  const std::string message = "[a] begin " + std::string(100'000, 'x') + ", want end";
  const std::string cut = CutMiddle(message);
  EXPECT_LE(cut.size(), 2000u);
  EXPECT_GE(cut.size(), 1990u);
  EXPECT_THAT(cut, testing::StartsWith("[a] begin xxx"));
  EXPECT_THAT(cut, testing::HasSubstr("x ... (100020 bytes in all) ... x"));
  EXPECT_THAT(cut, testing::EndsWith("xxx, want end"));
  std::string euros;
  for (int i = 0; i < 1000; ++i) euros += "\xE2\x82\xAC";
  for (size_t size = 100; size < 110; ++size) {
    const std::string part = CutMiddle(euros, size);
    EXPECT_LE(part.size(), size);
    EXPECT_EQ(part.find(" ... ") % 3, 0u) << part;
    EXPECT_EQ((part.size() - part.rfind(" ... ") - 5) % 3, 0u) << part;
  }
}

}  // namespace
}  // namespace sinter

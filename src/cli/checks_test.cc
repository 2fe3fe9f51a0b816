#include "cli/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sinter::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ChecksTest, WholeNumbers) {
  const CLI::Validator check = WholeNumber(-2, 9);
  for (const char* right : {"-2", "0", "9", "007"})
    EXPECT_EQ(check(std::string(right)), "") << right;
  EXPECT_EQ(check(std::string("10")), "got 10, want -2 to 9");
  EXPECT_EQ(check(std::string("-99999999999999999999999")),
            "got -99999999999999999999999, want -2 to 9");
  for (const char* wrong : {"", "-", "1.5", "1e3", "0x10", " 1", "1 ", "one", "--1"}) {
    EXPECT_EQ(check(std::string(wrong)), "got '" + std::string(wrong) + "', want a whole number");
  }
  EXPECT_EQ(WholeNumber(0)(std::string("9223372036854775807")), "");
  EXPECT_EQ(WholeNumber(0)(std::string("9223372036854775808")),
            "got 9223372036854775808, want 0 to 9223372036854775807");
  EXPECT_EQ(WholeNumber(1)(std::string("-9223372036854775809")),
            "got -9223372036854775809, want 1 or more");
}

TEST(ChecksTest, Numbers) {
  const CLI::Validator check = Number(0, 1);
  for (const char* right : {"0", "1", "0.5", "1e-3", ".25"})
    EXPECT_EQ(check(std::string(right)), "");
  for (const char* wrong : {"-0.1", "1.01", "nan", "inf", "-inf"}) {
    EXPECT_EQ(check(std::string(wrong)), "got " + std::string(wrong) + ", want 0 to 1");
  }
  for (const char* wrong : {"", "warm", "1,5", "0.5 "}) {
    EXPECT_EQ(check(std::string(wrong)), "got '" + std::string(wrong) + "', want a number");
  }
  EXPECT_EQ(Number(0)(std::string("-1")), "got -1, want 0 or more");
  EXPECT_EQ(Number(0)(std::string("inf")), "got inf, want 0 or more");
  // Beyond the range of doubles.
  EXPECT_EQ(Number(0)(std::string("1e400")), "got 1e400, want 0 to 1.7976931348623157e+308");
  EXPECT_EQ(check(std::string("1e400")), "got 1e400, want 0 to 1");
  EXPECT_EQ(check(std::string("-1e400")), "got -1e400, want 0 to 1");
  EXPECT_EQ(check(std::string("1e-400")), "");
}

TEST(ChecksTest, Words) {
  EXPECT_EQ(OneOf({"auto", "none"})(std::string("none")), "");
  EXPECT_EQ(OneOf({"auto", "none"})(std::string("nnoe")),
            "got 'nnoe', want one of auto, none; did you mean 'none'?");
  EXPECT_EQ(OneOf({"auto", "none"})(std::string("")), "got '', want one of auto, none");
  EXPECT_EQ(NotEmpty()(std::string("x")), "");
  EXPECT_EQ(NotEmpty()(std::string("")), "got '', want a value");
}

TEST(ChecksTest, Text) {
  EXPECT_EQ(Utf8Text()(std::string("caf\xc3\xa9")), "");
  EXPECT_EQ(Utf8Text()(std::string("a\xff\xfe")), "got byte 0xff at offset 1, want UTF-8 text");
}

TEST(ChecksTest, ChoicesAreThoseOfAnOption) {
  CLI::App app;
  std::string value;
  EXPECT_THAT(Choices(*app.add_option("--a", value)->check(NotEmpty())), IsEmpty());
  EXPECT_THAT(Choices(*app.add_option("--b", value)->check(OneOf({"x", "y"}))->check(NotEmpty())),
              ElementsAre("x", "y"));
}

}  // namespace
}  // namespace sinter::cli

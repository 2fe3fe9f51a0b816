#include "base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"

namespace sinter {
namespace {

TEST(Error, SaysAreaAndText) {
  const Error error("onnx", "tensor '{}': got {}, want {}", "w", 1, 2);
  EXPECT_STREQ(error.what(), "[onnx] tensor 'w': got 1, want 2");
  EXPECT_EQ(error.area(), "onnx");
}

TEST(Error, TellsWhetherItsTextHasLines) {
  EXPECT_FALSE(Error("onnx", "tensor '{}': got none", "a\nb").multi_line());
  const Error error = Error::MultiLine("wgsl", "{}: {}", "softmax", "unresolved value\nlet x = y;");
  EXPECT_STREQ(error.what(), "[wgsl] softmax: unresolved value\nlet x = y;");
  EXPECT_EQ(error.area(), "wgsl");
  EXPECT_TRUE(error.multi_line());
  EXPECT_TRUE(DeviceLostError("reset\nby the driver").multi_line());
}

TEST(Error, BracesInArgumentsStay) {
  EXPECT_STREQ(Error("tokenizer", "{}", "{x} {}").what(), "[tokenizer] {x} {}");
}

TEST(Error, DeviceLossIsAnErrorOfTheGpu) {
  try {
    throw DeviceLostError("the driver was reset {}");
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "[gpu] the driver was reset {}");
    EXPECT_EQ(e.area(), "gpu");
    EXPECT_NE(dynamic_cast<const DeviceLostError*>(&e), nullptr);
  }
}

std::string CheckMessage(void (*check)()) {
  try {
    check();
  } catch (const BugError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Check, HoldsSilently) {
  EXPECT_EQ(CheckMessage([] { SINTER_CHECK(1 + 1 == 2); }), "no error");
}

TEST(Check, NamesPlaceAndCondition) {
  EXPECT_THAT(CheckMessage([] { SINTER_CHECK(1 + 1 == 3); }),
              testing::MatchesRegex(
                  R"(\[bug\] src/base/error_test\.cc:[0-9]+: 1 \+ 1 == 3 does not hold)"));
}

TEST(Check, FormatsItsMessage) {
  EXPECT_THAT(CheckMessage([] { SINTER_CHECK(false, "value '{}' of {}", "x", 7); }),
              testing::EndsWith("false does not hold: value 'x' of 7"));
}

TEST(Check, TakesAMessageWithoutArguments) {
  EXPECT_THAT(CheckMessage([] { SINTER_CHECK(false, "plain"); }), testing::EndsWith(": plain"));
}

TEST(Check, EvaluatesItsConditionOnce) {
  int calls = 0;
  SINTER_CHECK(++calls == 1);
  EXPECT_EQ(calls, 1);
}

TEST(Check, IsOneStatement) {
  if (false)
    SINTER_CHECK(false);
  else
    SUCCEED();
}

TEST(Check, KeepsAPathWithoutSourceFolder) {
  try {
    FailCheck("elsewhere/x.cc", 3, "a", "b");
    FAIL();
  } catch (const BugError& e) {
    EXPECT_STREQ(e.what(), "[bug] elsewhere/x.cc:3: a does not hold: b");
  }
}

}  // namespace
}  // namespace sinter

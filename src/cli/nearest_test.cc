#include "cli/nearest.h"

#include <gtest/gtest.h>

namespace sinter::cli {
namespace {

TEST(NearestTest, CountsEdits) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("abc", ""), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("chta", "chat"), 1) << "a swap is one edit";
  EXPECT_EQ(EditDistance("ab", "ba"), 1);
  EXPECT_EQ(EditDistance("ca", "abc"), 3) << "letters between swapped ones are not free";
}

TEST(NearestTest, FindsTheNearestName) {
  const std::vector<std::string> names = {"run", "chat", "tokenize", "inspect", "devices", "bench"};
  EXPECT_EQ(Nearest("chatt", names), "chat");
  EXPECT_EQ(Nearest("chta", names), "chat");
  EXPECT_EQ(Nearest("Devices", names), "devices");
  EXPECT_EQ(Nearest("device", names), "devices");
  EXPECT_EQ(Nearest("rnu", names), "run");
  EXPECT_EQ(Nearest("tokenise", names), "tokenize");
  EXPECT_EQ(Nearest("max_lenght", {"min-length", "max-length"}), "max-length");
}

TEST(NearestTest, FindsTheOnlyNameThatAWordBegins) {
  EXPECT_EQ(Nearest("temp", {"template-arg", "temperature"}), "") << "two names begin with it";
  EXPECT_EQ(Nearest("tempe", {"template-arg", "temperature"}), "temperature");
  EXPECT_EQ(Nearest("te", {"temperature"}), "") << "too short to tell";
}

TEST(NearestTest, FindsNothingWhereNothingIsNear) {
  EXPECT_EQ(Nearest("frobnicate", {"run", "chat"}), "");
  EXPECT_EQ(Nearest("xy", {"ab", "p"}), "");
  EXPECT_EQ(Nearest("", {"a"}), "");
  EXPECT_EQ(Nearest("run", {}), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'a'), {std::string(100'000, 'a')}), "");
  EXPECT_EQ(Suggestion("xy", {"ab"}), "");
  EXPECT_EQ(Suggestion("ru", {"run"}), "; did you mean 'run'?");
}

}  // namespace
}  // namespace sinter::cli

#include "cli/figures.h"

#include <gtest/gtest.h>

namespace sinter::cli {
namespace {

TEST(Figures, OfAnAnswer) {
  EXPECT_EQ(FiguresText({12, 0.25, 34, 56.78, "end_token"}),
            "prompt 12 tokens in 0.250 s; answer 34 tokens, 56.8 tokens/s; end_token");
  // The first token says nothing about the rate.
  EXPECT_EQ(FiguresText({1, 0.25, 1, 0, "max_new_tokens"}),
            "prompt 1 token in 0.250 s; answer 1 token; max_new_tokens");
}

TEST(Figures, Counts) {
  EXPECT_EQ(CountText(0, "turn"), "0 turns");
  EXPECT_EQ(CountText(1, "turn"), "1 turn");
  EXPECT_EQ(CountText(2, "turn"), "2 turns");
}

}  // namespace
}  // namespace sinter::cli

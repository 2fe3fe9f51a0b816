#include "cli/shell_word.h"

#include <gtest/gtest.h>

namespace sinter::cli {
namespace {

TEST(ShellWordTest, QuotesWhatShellsWouldRead) {
  EXPECT_EQ(ShellWord("models/a-1.5_b"), "models/a-1.5_b");
  EXPECT_EQ(ShellWord("it's $HOME"), R"('it'\''s $HOME')");
  EXPECT_EQ(ShellWord(""), "''");
}

}  // namespace
}  // namespace sinter::cli

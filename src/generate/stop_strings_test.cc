#include "generate/stop_strings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace sinter::generate {
namespace {

TEST(StopStrings, HoldsBackWhatMayBecomeOne) {
  StopStrings stop({"END"});
  EXPECT_EQ(stop.Push("the E"), "the ");
  EXPECT_EQ(stop.Push("N"), "");
  EXPECT_EQ(stop.Push("T E"), "ENT ");
  EXPECT_EQ(stop.Push("ND and more"), "");
  EXPECT_TRUE(stop.stopped());
  EXPECT_EQ(stop.Push("more"), "");
  EXPECT_EQ(stop.Flush(), "");
}

TEST(StopStrings, GivesTheHeldTailAtTheEnd) {
  StopStrings stop({"\n\n", "User:"});
  EXPECT_EQ(stop.Push("yes\nUse"), "yes\n");
  EXPECT_FALSE(stop.stopped());
  EXPECT_EQ(stop.Flush(), "Use");
  EXPECT_EQ(stop.Flush(), "");
}

TEST(StopStrings, TheOneThatIsCompleteFirstWins) {
  EXPECT_EQ(StopStrings({"cd", "abc"}).Push("xabcd"), "x");
  // The result equals that of single characters, where at the b nobody knows that a d follows.
  EXPECT_EQ(StopStrings({"abd", "b"}).Push("xabd"), "xa");
  EXPECT_EQ(StopStrings({"b", "ab"}).Push("xab"), "x");
}

TEST(StopStrings, EmptyOnesMeanNothing) {
  StopStrings stop({"", ""});
  EXPECT_EQ(stop.Push("abc"), "abc");
  EXPECT_FALSE(stop.stopped());
  StopStrings none({});
  EXPECT_EQ(none.Push("abc"), "abc");
}

// Cuts random texts into random pieces: the output is the text before the stop string that is
// complete first, and never more than that along the way.
TEST(StopStrings, AgreesWithASearchOfTheWhole) {
  std::mt19937 random(1);
  const auto word = [&](size_t most) {
    std::string text(random() % (most + 1), 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> strings(random() % 3);
    for (std::string& string : strings) string = word(5);
    const std::string text = word(20);
    // Finds the shortest beginning of the text that ends in a stop string.
    size_t end = std::string::npos;
    for (size_t length = 0; length <= text.size() && end == std::string::npos; ++length) {
      for (const std::string& string : strings) {
        if (!string.empty() && text.substr(0, length).ends_with(string)) {
          end = std::min(end, length - string.size());
        }
      }
    }
    StopStrings stop(strings);
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t piece = 1 + random() % 4;
      out += stop.Push(text.substr(at, piece));
      at += piece;
      ASSERT_EQ(text.substr(0, out.size()), out);
      ASSERT_LE(out.size(), std::min(end, text.size()));
    }
    EXPECT_EQ(stop.stopped(), end != std::string::npos);
    ASSERT_EQ(out + stop.Flush(), text.substr(0, end)) << text;
  }
}

}  // namespace
}  // namespace sinter::generate

#include "text/utf8.h"

#include <gtest/gtest.h>

#include <random>

#include "text/byte_level.h"
#include "text/testing.h"

namespace sinter::text {
namespace {

const std::string kBad(kReplacementCharacter);

TEST(Utf8, EncodesAndDecodesEveryLength) {
  for (const char32_t c :
       {0x0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF}) {
    std::string text;
    AppendUtf8(c, &text);
    size_t pos = 0;
    EXPECT_EQ(NextCodePoint(text, &pos), c);
    EXPECT_EQ(pos, text.size());
    EXPECT_TRUE(IsValidUtf8(text));
  }
}

// Cases of Unicode 15, table 3-8, and similar ones: one U+FFFD for each maximal subpart.
TEST(Utf8, SanitizeReplacesMaximalSubparts) {
  EXPECT_EQ(SanitizeUtf8("plain \xE4\xBD\xA0"), "plain \xE4\xBD\xA0");
  EXPECT_EQ(SanitizeUtf8("a\xF1\x80\x80\xE1\x80\xC2"
                         "b\x80"
                         "c\x80\xBF"
                         "d"),
            "a" + kBad + kBad + kBad + "b" + kBad + "c" + kBad + kBad + "d");
  EXPECT_EQ(SanitizeUtf8("\xC0\xAF"), kBad + kBad);                        // overlong
  EXPECT_EQ(SanitizeUtf8("\xED\xA0\x80"), kBad + kBad + kBad);             // surrogate
  EXPECT_EQ(SanitizeUtf8("\xF4\x90\x80\x80"), kBad + kBad + kBad + kBad);  // above U+10FFFF
  EXPECT_EQ(SanitizeUtf8("\xE4\xBD"), kBad);                               // cut off
  EXPECT_EQ(SanitizeUtf8("\xE4\xBDx"), kBad + "x");
  EXPECT_EQ(SanitizeUtf8(std::string_view("\0\xFF", 2)), std::string(1, '\0') + kBad);
}

TEST(Utf8, AssemblerGivesTheSameInPieces) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    const int length = static_cast<int>(random() % 12);
    constexpr std::string_view kInteresting =
        "\xE4\xBD\xA0\xF0\x9F\x98\x80\xED\xA0\xC3\xFF"
        "ab\x80";
    for (int i = 0; i < length; ++i) bytes += kInteresting[random() % kInteresting.size()];
    Utf8Assembler assembler;
    std::string text;
    for (const char byte : bytes) {
      assembler.Push({&byte, 1}, &text);
      ASSERT_TRUE(IsValidUtf8(text));
    }
    assembler.Finish(&text);
    ASSERT_EQ(text, SanitizeUtf8(bytes));
    ASSERT_EQ(IsValidUtf8(bytes), text == bytes);
    // What stands before the first ill-formed sequence is all that is valid.
    const std::optional<size_t> bad = FindInvalidUtf8(bytes);
    ASSERT_EQ(bad.has_value(), text != bytes);
    if (bad) {
      ASSERT_TRUE(IsValidUtf8(bytes.substr(0, *bad)));
      ASSERT_TRUE(SanitizeUtf8(bytes.substr(*bad)).starts_with(kReplacementCharacter));
    }
  }
}

TEST(Utf8, AssemblerEmitsWithTheLastByte) {
  Utf8Assembler assembler;
  std::string text;
  assembler.Push("\xF0\x9F", &text);
  assembler.Push("\x98", &text);
  EXPECT_EQ(text, "");
  assembler.Push("\x80", &text);
  EXPECT_EQ(text, "\xF0\x9F\x98\x80");
}

TEST(ByteLevel, AlphabetOfGpt2) {
  EXPECT_EQ(BytesToByteLevel(" a\n\t~"), "ĠaĊĉ~");
  EXPECT_EQ(BytesToByteLevel("é"), "Ã©");
  EXPECT_EQ(BytesToByteLevel(std::string_view("\0\xAD\x7F", 3)), "ĀŃġ");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  std::string back;
  ByteLevelToBytes(BytesToByteLevel(all), &back);
  EXPECT_EQ(back, all);
}

TEST(ByteLevel, TokenOutsideTheAlphabetStandsForItself) {
  std::string out = "x";
  ByteLevelToBytes("Ġ你", &out);
  EXPECT_EQ(out, "xĠ你");
  ByteLevelToBytes("a b", &out);
  EXPECT_EQ(out, "xĠ你a b");
}

}  // namespace
}  // namespace sinter::text

#include "text/unicode.h"

#include <gtest/gtest.h>

namespace sinter::text {
namespace {

TEST(Unicode, NormalForms) {
  struct Case {
    const char* text;
    const char* nfc;
    const char* nfd;
    const char* nfkc;
    const char* nfkd;
  };
  for (const Case& c : {
           Case{"abc", "abc", "abc", "abc", "abc"},
           Case{"", "", "", "", ""},
           Case{"e\u0301", "\u00E9", "e\u0301", "\u00E9", "e\u0301"},
           Case{"\u1E9B\u0323", "\u1E9B\u0323", "\u017F\u0323\u0307", "\u1E69",
                "s\u0323\u0307"},  // UAX #15, figure 6
           Case{"\uFB01", "\uFB01", "\uFB01", "fi", "fi"},
           Case{"\u212B", "\u00C5", "A\u030A", "\u00C5", "A\u030A"},
           Case{"\uD55C", "\uD55C", "\u1112\u1161\u11AB", "\uD55C", "\u1112\u1161\u11AB"},
           Case{"\u1112\u1161\u11AB", "\uD55C", "\u1112\u1161\u11AB", "\uD55C",
                "\u1112\u1161\u11AB"},
           Case{"\u0958", "\u0915\u093C", "\u0915\u093C", "\u0915\u093C",
                "\u0915\u093C"},  // composition exclusion
           Case{"a\u0301\u0323", "\u1EA1\u0301", "a\u0323\u0301", "\u1EA1\u0301", "a\u0323\u0301"},
           Case{"\u2026", "\u2026", "\u2026", "...", "..."},
       }) {
    EXPECT_EQ(Normalize(c.text, NormalForm::kNfc), c.nfc) << c.text;
    EXPECT_EQ(Normalize(c.text, NormalForm::kNfd), c.nfd) << c.text;
    EXPECT_EQ(Normalize(c.text, NormalForm::kNfkc), c.nfkc) << c.text;
    EXPECT_EQ(Normalize(c.text, NormalForm::kNfkd), c.nfkd) << c.text;
  }
  // The longest decomposition has 18 characters.
  EXPECT_EQ(Normalize("\uFDFA", NormalForm::kNfkd), "صلى الله عليه وسلم");
}

TEST(Unicode, LongRunOfBadlyOrderedMarksIsNotQuadratic) {
  constexpr int kMarks = 100'000;
  std::string text = "a";
  for (int i = 0; i < kMarks; ++i) text += "\u0301";
  for (int i = 0; i < kMarks; ++i) text += "\u0323";
  const std::string normal = Normalize(text, NormalForm::kNfd);
  EXPECT_EQ(normal.size(), text.size());
  EXPECT_EQ(normal.substr(0, 5), "a\u0323\u0323");
}

TEST(Unicode, Properties) {
  for (const char32_t c : {0x09, 0x20, 0x85, 0xA0, 0x2003, 0x2028, 0x3000})
    EXPECT_TRUE(IsWhitespace(c)) << static_cast<uint32_t>(c);
  for (const char32_t c : {0x08, 0x41, 0x180E, 0x200B, 0xFEFF})
    EXPECT_FALSE(IsWhitespace(c)) << static_cast<uint32_t>(c);
  for (const char32_t c : {U'7', U'٣', U'Ⅷ', U'½'}) EXPECT_TRUE(IsNumeric(c));
  EXPECT_FALSE(IsNumeric(U'一'));
  for (const char32_t c : {U'!', U'$', U'~', U'`', U'。', U'«', U'_'})
    EXPECT_TRUE(IsPunctuation(c));
  for (const char32_t c : {U'a', U'€', U' ', U'0'}) EXPECT_FALSE(IsPunctuation(c));
  for (const char32_t c : {0x301, 0x903, 0x20DD}) EXPECT_TRUE(IsMark(c));
  EXPECT_FALSE(IsMark(U'^'));
}

// Tokenizers of models from 2024 on know these characters. With an older Unicode they have no
// category, no case and no composition.
TEST(Unicode, CharactersOfUnicode15And16) {
  for (const char32_t c : {U'\U0001E4F0', U'\U00010D40', U'\U0001CCF0'})  // 15, 16, 16
    EXPECT_TRUE(IsNumeric(c)) << static_cast<uint32_t>(c);
  for (const char32_t c : {U'\U00011F43', U'\U00010D6E'})  // 15, 16
    EXPECT_TRUE(IsPunctuation(c)) << static_cast<uint32_t>(c);
  for (const char32_t c : {U'\U0001E4EC', U'\u0897'})  // 15, 16
    EXPECT_TRUE(IsMark(c)) << static_cast<uint32_t>(c);
  EXPECT_EQ(ToLower("\u1C89\uA7DA"), "\u1C8A\uA7DB");
  EXPECT_EQ(Normalize("\U000105D2\u0307", NormalForm::kNfc), "\U000105C9");
  EXPECT_EQ(Normalize("\U000105C9", NormalForm::kNfd), "\U000105D2\u0307");
  EXPECT_EQ(Normalize("\U0001CCF0", NormalForm::kNfkc), "0");
}

TEST(Unicode, LowerCaseCharacterByCharacter) {
  EXPECT_EQ(ToLower("HeLLo ÄΣ"), "hello äσ");
  EXPECT_EQ(ToLower("\u0130"), "i\u0307");
  EXPECT_EQ(ToLower("\u1E9E"), "\u00DF");
}

}  // namespace
}  // namespace sinter::text

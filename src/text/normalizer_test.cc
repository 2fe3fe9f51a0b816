#include "text/normalizer.h"

#include <gtest/gtest.h>

#include "text/testing.h"

namespace sinter::text {
namespace {

Piece Apply(const std::string& json, const std::string& text) {
  const Json parsed = Json::parse(json);
  Piece piece{text, true};
  Normalizer::FromJson(&parsed).Apply(&piece);
  return piece;
}

std::string Type(const char* type) { return fmt::format(R"({{"type":"{}"}})", type); }

TEST(Normalizer, EachType) {
  EXPECT_EQ(Apply(Type("NFC"), "e\u0301").text, "\u00E9");
  EXPECT_EQ(Apply(Type("NFD"), "\u00E9").text, "e\u0301");
  EXPECT_EQ(Apply(Type("NFKC"), "\uFB01e\u0301").text, "fi\u00E9");
  EXPECT_EQ(Apply(Type("NFKD"), "\uFB01\u00E9").text, "fie\u0301");
  EXPECT_EQ(Apply(Type("Lowercase"), "ÄB").text, "äb");
  EXPECT_EQ(Apply(Type("StripAccents"), "e\u0304\u0304o\u0903").text, "eo");
  EXPECT_EQ(Apply(Type("StripAccents"), "\u00E9").text, "\u00E9");
  EXPECT_EQ(Apply(Type("ByteLevel"), " é").text, "ĠÃ©");
  EXPECT_EQ(Apply(R"({"type":"Prepend","prepend":"▁"})", "a").text, "▁a");
  EXPECT_EQ(Apply(R"({"type":"Prepend","prepend":"▁"})", "").text, "");
  EXPECT_EQ(Apply(R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})", "a b ").text,
            "a▁b▁");
  EXPECT_EQ(
      Apply(R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":"_"})", "a b   c").text,
      "a b_c");
  EXPECT_EQ(Apply(R"({"type":"Replace","pattern":{"String":""},"content":"_"})", "ab").text, "ab");
}

TEST(Normalizer, Strip) {
  EXPECT_EQ(Apply(Type("Strip"), " \u3000a b\t ").text, "a b");
  EXPECT_EQ(Apply(Type("Strip"), " \n").text, "");
  EXPECT_EQ(Apply(R"({"type":"Strip","strip_left":false,"strip_right":true})", " a ").text, " a");
  EXPECT_EQ(Apply(R"({"type":"Strip","strip_left":true,"strip_right":false})", " a ").text, "a ");
  EXPECT_FALSE(Apply(Type("Strip"), " a").at_start);
  EXPECT_TRUE(Apply(Type("Strip"), "a ").at_start);
}

TEST(Normalizer, SequenceInOrder) {
  EXPECT_EQ(Apply(R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":" "},
                      {"type":"Sequence","normalizers":[{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}]})",
                  "a b")
                .text,
            "▁a▁b");
  EXPECT_EQ(
      Apply(
          R"({"type":"Sequence","normalizers":[{"type":"NFKD"},{"type":"StripAccents"},{"type":"Lowercase"}]})",
          "ậ…Đ")
          .text,
      "a...đ");
}

TEST(Normalizer, Errors) {
  EXPECT_ERROR(Apply(Type("Precompiled"), ""), "normalizer: got type \"Precompiled\", want NFC");
  EXPECT_ERROR(Apply(R"({"type":"Prepend"})", ""),
               "normalizer Prepend: field \"prepend\" is missing");
  EXPECT_ERROR(Apply(R"({"type":7})", ""), "got number, want a string");
  std::string deep = Type("NFC");
  for (int i = 0; i < 20; ++i)
    deep = fmt::format(R"({{"type":"Sequence","normalizers":[{}]}})", deep);
  EXPECT_ERROR(Apply(deep, "a"), "nested more than 16 deep");
}

TEST(Normalizer, RefusesToExplode) {
  Json chain = {{"type", "Sequence"}, {"normalizers", Json::array()}};
  for (int i = 0; i < 40; ++i) {
    chain["normalizers"].push_back(
        {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aaaaaaaaaa"}});
  }
  EXPECT_ERROR(Apply(chain.dump(), "a"), "grows the text less");
  Json bytes = {{"type", "Sequence"}, {"normalizers", Json::array()}};
  for (int i = 0; i < 40; ++i) bytes["normalizers"].push_back({{"type", "ByteLevel"}});
  EXPECT_ERROR(Apply(bytes.dump(), "é"), "grows the text less");
}

}  // namespace
}  // namespace sinter::text

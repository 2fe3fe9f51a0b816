#include "text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/testing.h"

namespace sinter::text {
namespace {

using testing::ElementsAre;

std::vector<std::string> Split(const Json& json, std::vector<Piece> pieces) {
  PreTokenizer::FromJson(&json).Apply(&pieces);
  std::vector<std::string> words;
  for (const Piece& piece : pieces) words.push_back(piece.token >= 0 ? "#" : piece.text);
  return words;
}

std::vector<std::string> Split(const char* json, const char* text) {
  return Split(Json::parse(json), {{text, true}});
}

std::string Field(const char* type, const char* fields) {
  return fmt::format(R"({{"type":"{}"{}{}}})", type, *fields ? "," : "", fields);
}

// "the-final--countdown" is the reference tokenizer's example of the five behaviours.
TEST(PreTokenizer, SplitBehaviours) {
  const auto split = [](const char* behavior, bool invert = false) {
    const Json json = {{"type", "Split"},
                       {"pattern", {{"String", "-"}}},
                       {"behavior", behavior},
                       {"invert", invert}};
    return Split(json, {{"the-final--countdown", true}});
  };
  EXPECT_THAT(split("Removed"), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(split("Isolated"), ElementsAre("the", "-", "final", "-", "-", "countdown"));
  EXPECT_THAT(split("MergedWithPrevious"), ElementsAre("the-", "final-", "-", "countdown"));
  EXPECT_THAT(split("MergedWithNext"), ElementsAre("the", "-final", "-", "-countdown"));
  EXPECT_THAT(split("Contiguous"), ElementsAre("the", "-", "final", "--", "countdown"));
  EXPECT_THAT(split("Removed", true), ElementsAre("-", "-", "-"));
  EXPECT_THAT(split("Contiguous", true), ElementsAre("the", "-", "final", "--", "countdown"));
}

TEST(PreTokenizer, SplitAtTheEdges) {
  const auto split = [](const char* behavior) {
    return Split(
        fmt::format(R"({{"type":"Split","pattern":{{"Regex":"-"}},"behavior":"{}"}})", behavior)
            .c_str(),
        "-a-");
  };
  EXPECT_THAT(split("Removed"), ElementsAre("a"));
  EXPECT_THAT(split("MergedWithPrevious"), ElementsAre("-", "a-"));
  EXPECT_THAT(split("MergedWithNext"), ElementsAre("-a", "-"));
}

TEST(PreTokenizer, ByteLevel) {
  const std::string plain = Field("ByteLevel", R"("add_prefix_space":false)");
  EXPECT_THAT(Split(plain.c_str(), "Hello my friend, ok?"),
              ElementsAre("Hello", "Ġmy", "Ġfriend", ",", "Ġok", "?"));
  EXPECT_THAT(Split(plain.c_str(), "i⭢j"), ElementsAre("i", "âŃ¢", "j"));
  EXPECT_THAT(Split(Field("ByteLevel", "").c_str(), "Hi you"), ElementsAre("ĠHi", "Ġyou"));
  EXPECT_THAT(Split(Field("ByteLevel", "").c_str(), " Hi"), ElementsAre("ĠHi"));
  EXPECT_THAT(Split(Field("ByteLevel", R"("use_regex":false)").c_str(), "Hi you"),
              ElementsAre("ĠHiĠyou"));
}

TEST(PreTokenizer, Metaspace) {
  const auto metaspace = [](const char* fields, std::vector<Piece> pieces) {
    return Split(Json::parse(Field("Metaspace", fields)), std::move(pieces));
  };
  const char* const always = R"("replacement":"▁")";
  EXPECT_THAT(metaspace(always, {{"Hey   friend!", true}}),
              ElementsAre("▁Hey", "▁", "▁", "▁friend!"));
  EXPECT_THAT(metaspace(always, {{" Hey", true}}), ElementsAre("▁Hey"));
  EXPECT_THAT(metaspace(R"("replacement":"▁","split":false)", {{"a b", true}}),
              ElementsAre("▁a▁b"));
  EXPECT_THAT(metaspace(R"("replacement":"▁","prepend_scheme":"never")", {{"a b", true}}),
              ElementsAre("a", "▁b"));
  EXPECT_THAT(metaspace(R"("replacement":"▁","add_prefix_space":false)", {{"a b", true}}),
              ElementsAre("a", "▁b"));
  const std::vector<Piece> around = {{"a", true}, {"", false, 5}, {"b", false}};
  EXPECT_THAT(metaspace(always, around), ElementsAre("▁a", "#", "▁b"));
  EXPECT_THAT(metaspace(R"("replacement":"▁","prepend_scheme":"first")", around),
              ElementsAre("▁a", "#", "b"));
  EXPECT_THAT(
      metaspace(R"("replacement":"▁","prepend_scheme":"first")", {{"", false, 5}, {"b", false}}),
      ElementsAre("#", "b"));
}

TEST(PreTokenizer, CharacterClasses) {
  EXPECT_THAT(Split(Field("Digits", "").c_str(), "a12 34b"),
              ElementsAre("a", "12", " ", "34", "b"));
  EXPECT_THAT(Split(Field("Digits", R"("individual_digits":true)").c_str(), "a12Ⅷ"),
              ElementsAre("a", "1", "2", "Ⅷ"));
  EXPECT_THAT(Split(Field("Whitespace", "").c_str(), "Hey man! a_b e\u0301 ..?"),
              ElementsAre("Hey", "man", "!", "a_b", "e\u0301", "..?"));
  EXPECT_THAT(Split(Field("WhitespaceSplit", "").c_str(), " Hey, man! \u3000x"),
              ElementsAre("Hey,", "man!", "x"));
  EXPECT_THAT(Split(Field("Punctuation", "").c_str(), "Hey, you!?"),
              ElementsAre("Hey", ",", " you", "!", "?"));
  EXPECT_THAT(Split(Field("Punctuation", R"("behavior":"Contiguous")").c_str(), "a!?b"),
              ElementsAre("a", "!?", "b"));
  EXPECT_THAT(Split(Field("CharDelimiterSplit", R"("delimiter":"é")").c_str(), "aébé"),
              ElementsAre("a", "b"));
}

TEST(PreTokenizer, SequenceAndNone) {
  EXPECT_THAT(Split(R"({"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},
                        {"type":"Digits","individual_digits":true}]})",
                    "a1 22"),
              ElementsAre("a", "1", "2", "2"));
  std::vector<Piece> pieces = {{"a b", true}};
  PreTokenizer::FromJson(nullptr).Apply(&pieces);
  EXPECT_EQ(pieces.size(), 1u);
}

TEST(PreTokenizer, Errors) {
  const auto load = [](const std::string& json) {
    const Json parsed = Json::parse(json);
    return PreTokenizer::FromJson(&parsed);
  };
  EXPECT_ERROR(load(R"({"type":"UnicodeScripts"})"),
               "pre_tokenizer: got type \"UnicodeScripts\", want ByteLevel");
  EXPECT_ERROR(load("{}"), "pre_tokenizer: field \"type\" is missing");
  EXPECT_ERROR(load("[]"), "pre_tokenizer: got array, want an object");
  EXPECT_ERROR(load(R"({"type":"Split","pattern":{"String":"a"},"behavior":"Doubled"})"),
               "got \"Doubled\"");
  EXPECT_ERROR(load(R"({"type":"Split","pattern":{"String":"a"}})"),
               "field \"behavior\" is missing");
  EXPECT_ERROR(load(R"({"type":"ByteLevel","use_regex":1})"),
               "\"use_regex\": got number, want true or false");
  EXPECT_ERROR(load(R"({"type":"Metaspace","replacement":"ab"})"), "want one character");
  EXPECT_ERROR(load(R"({"type":"Metaspace","replacement":""})"), "want one character");
  EXPECT_ERROR(load(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"last"})"),
               "got \"last\"");
  EXPECT_ERROR(
      load(
          R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first","add_prefix_space":false})"),
      "contradict each other");
  EXPECT_ERROR(load(R"({"type":"Sequence","pretokenizers":{}})"), "got object, want an array");
  std::string deep = R"({"type":"Digits"})";
  for (int i = 0; i < 20; ++i)
    deep = fmt::format(R"({{"type":"Sequence","pretokenizers":[{}]}})", deep);
  EXPECT_ERROR(load(deep), "nested more than 16 deep");
}

TEST(PreTokenizer, RefusesToExplode) {
  Json chain = {{"type", "Sequence"}, {"pretokenizers", Json::array()}};
  for (int i = 0; i < 64; ++i)
    chain["pretokenizers"].push_back({{"type", "ByteLevel"}, {"use_regex", false}});
  EXPECT_ERROR(Split(chain, {{"é", true}}), "grows the text less");
}

}  // namespace
}  // namespace sinter::text

#include "text/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/testing.h"

namespace sinter::text {
namespace {

using testing::ElementsAre;

const Json kModel = {{"vocab", {{"a", 0}, {"b", 1}}}, {"merges", Json::array()}};

Json Token(int id, const char* content, const Json& more = Json::object()) {
  Json token = {{"id", id}, {"content", content}, {"special", true}};
  token.update(more);
  return token;
}

template <typename... Tokens>
Json List(const Tokens&... tokens) {
  Json list = Json::array();
  (list.push_back(tokens), ...);
  return list;
}

// Returns the pieces of `text`, added tokens as #id.
std::vector<std::string> Split(const Json& tokens, const char* text,
                               const char* normalizer = "null") {
  const Json parsed = Json::parse(normalizer);
  const Normalizer n = Normalizer::FromJson(parsed.is_null() ? nullptr : &parsed);
  const AddedTokens added(&tokens, Bpe(kModel), n);
  std::vector<std::string> pieces;
  for (const Piece& piece : added.Split(text, n)) {
    pieces.push_back(piece.token >= 0 ? fmt::format("#{}", piece.token) : piece.text);
  }
  return pieces;
}

TEST(AddedTokens, LeftmostLongest) {
  const Json tokens = List(Token(5, "<x>"), Token(6, "<x><y>"), Token(7, "<y>"));
  EXPECT_THAT(Split(tokens, "a<x>b<x><y><y>"), ElementsAre("a", "#5", "b", "#6", "#7"));
  EXPECT_THAT(Split(tokens, "<x"), ElementsAre("<x"));
  EXPECT_THAT(Split(tokens, ""), ElementsAre());
  EXPECT_THAT(Split(Json::array(), "<x>"), ElementsAre("<x>"));
}

TEST(AddedTokens, StripsWhiteSpace) {
  EXPECT_THAT(Split(List(Token(5, "<x>", {{"lstrip", true}})), "a \n<x> b"),
              ElementsAre("a", "#5", " b"));
  EXPECT_THAT(Split(List(Token(5, "<x>", {{"rstrip", true}})), "a <x> \u3000b"),
              ElementsAre("a ", "#5", "b"));
  EXPECT_THAT(Split(List(Token(5, "<x>", {{"lstrip", true}, {"rstrip", true}})), " <x> <x> "),
              ElementsAre("#5", "#5"));
  // White space that rstrip has taken does not become text, even if a later token begins in it.
  EXPECT_THAT(Split(List(Token(5, "<x>", {{"rstrip", true}}), Token(6, " ")), "<x>  b"),
              ElementsAre("#5", "#6", "#6", "b"));
}

TEST(AddedTokens, SingleWord) {
  const Json tokens = List(Token(5, "cat", {{"single_word", true}}));
  EXPECT_THAT(Split(tokens, "cat cats concat cat!"), ElementsAre("#5", " cats concat ", "#5", "!"));
  EXPECT_THAT(Split(tokens, "écat cat\u0301 _cat"), ElementsAre("écat cat\u0301 _cat"));
}

TEST(AddedTokens, NormalizedOnesMatchNormalizedText) {
  const char* const lower = R"({"type":"Lowercase"})";
  const Json normalized = List(Token(5, "<X>", {{"normalized", true}}));
  EXPECT_THAT(Split(normalized, "A<x>B<X>", lower), ElementsAre("a", "#5", "b", "#5"));
  const Json raw = List(Token(5, "<X>", {{"normalized", false}}));
  EXPECT_THAT(Split(raw, "A<x>B<X>", lower), ElementsAre("a<x>b", "#5"));
  // Without the field "normalized", special tokens are searched for in the raw text, others in the
  // normalized text.
  EXPECT_THAT(Split(List(Token(5, "<X>")), "<x>", lower), ElementsAre("<x>"));
  EXPECT_THAT(Split(List(Token(5, "<X>", {{"special", false}})), "<x>", lower), ElementsAre("#5"));
}

TEST(AddedTokens, IdsFollowTheVocabulary) {
  EXPECT_THAT(Split(List(Token(9, "b")), "ab"), ElementsAre("a", "#1"));
  const Json tokens = List(Token(9, "<x>"), Token(12, ""), Token(30, "<x>"));
  const AddedTokens added(&tokens, Bpe(kModel), Normalizer::FromJson(nullptr));
  EXPECT_EQ(added.id_limit(), 10);
  EXPECT_EQ(added.Find("<x>")->id, 9);
  EXPECT_EQ(added.Find(9)->content, "<x>");
  EXPECT_EQ(added.Find(1), nullptr);
  EXPECT_EQ(added.Find("a"), nullptr);
}

TEST(AddedTokens, Errors) {
  EXPECT_ERROR(Split(Json::object(), ""), "field \"added_tokens\": got object, want an array");
  EXPECT_ERROR(Split(List(7), ""), "added token: got number, want an object");
  EXPECT_ERROR(Split(List(Token(-3, "<x>")), ""), "added token \"<x>\": id: got -3");
  EXPECT_ERROR(Split(List(Token(1 << 24, "<x>")), ""), "id: got 16777216");
  EXPECT_ERROR(Split(List(Token(1, "<x>")), ""), "got id 1, which \"b\" has already");
  EXPECT_ERROR(Split(List(Token(5, "<x>"), Token(5, "<y>")), ""),
               "got id 5, which \"<x>\" has already");
  EXPECT_ERROR(Split(List(Token(5, "<x>", {{"lstrip", "yes"}})), ""),
               "\"lstrip\": got string, want true or false");
  EXPECT_ERROR(Split(List(Token(5, std::string(2000, 'x').c_str())), ""),
               "got 2000 bytes, want at most 1024");
}

}  // namespace
}  // namespace sinter::text

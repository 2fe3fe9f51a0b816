#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"

namespace sinter {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Lt;
using testing::SizeIs;

std::string ParseError(const std::string& text, bool ordered = false) {
  try {
    if (ordered) {
      ParseOrderedJson(text, "config", "file");
    } else {
      ParseJson(text, "config", "file");
    }
  } catch (const Error& error) {
    EXPECT_EQ(error.area(), "config");
    return error.what();
  }
  return "no error";
}

std::string Nested(size_t depth, const std::string& open, const std::string& close) {
  std::string text;
  for (size_t i = 0; i < depth; ++i) text += open;
  text += "1";
  for (size_t i = 0; i < depth; ++i) text += close;
  return text;
}

TEST(Json, IsWhatNlohmannReads) {
  for (const char* text :
       {"null", "true", "-3", "18446744073709551615", "0.5", "\"a\\u00e9\\n\"", "[]", "{}",
        R"({"b": [1, {"c": null}, [[]], "x"], "a": {"z": -1e3, "": false}})", "\xEF\xBB\xBF[1]",
        " \r\n\t[1 ,\n2 ] "}) {
    EXPECT_EQ(ParseJson(text, "a", "b"), nlohmann::json::parse(text)) << text;
    EXPECT_EQ(ParseOrderedJson(text, "a", "b").dump(), nlohmann::ordered_json::parse(text).dump())
        << text;
  }
}

TEST(Json, ErrorsNameTheFileAndThePlace) {
  EXPECT_EQ(ParseError(""),
            "[config] file: line 1, column 1: got no valid JSON: syntax error while "
            "parsing value - unexpected end of input; expected '[', '{', or a literal");
  EXPECT_THAT(ParseError("{\n \"a\": 1,\n \"b\" 2}"), HasSubstr("file: line 3, column 7: got no "));
  EXPECT_THAT(ParseError("[1] 2"), HasSubstr("unexpected number literal; expected end of input"));
  EXPECT_THAT(ParseError("\"\xFF\""), HasSubstr("ill-formed UTF-8 byte"));
  EXPECT_THAT(ParseError("[1e999]"), HasSubstr("number overflow"));
  EXPECT_THAT(ParseError("[NaN]"), HasSubstr("invalid literal"));
  for (const std::string& text : {'"' + std::string(100'000, 'x'), std::string(100'000, 'x'),
                                  "1e" + std::string(100'000, '9')}) {
    EXPECT_THAT(ParseError(text), SizeIs(Lt(400)));
  }
}

TEST(Json, BoundsDepth) {
  EXPECT_EQ(ParseError(Nested(JsonLimits{}.depth, "[", "]")), "no error");
  EXPECT_EQ(ParseError(Nested(JsonLimits{}.depth / 2, "[{\"a\":", "}]")), "no error");
  for (const bool ordered : {false, true}) {
    for (const size_t depth : {JsonLimits{}.depth + 1, size_t{100'000}}) {
      EXPECT_THAT(ParseError(Nested(depth, "[", "]"), ordered),
                  EndsWith("line 1, column 129: got arrays and objects nested more than 128 deep, "
                           "want fewer"));
      EXPECT_THAT(ParseError(Nested(depth, "{\"a\":", "}"), ordered), HasSubstr("nested more"));
    }
  }
}

TEST(Json, BoundsTheNumberOfValues) {
  const auto parse = [](std::string_view text) { ParseJson(text, "a", "b", {.values = 5}); };
  EXPECT_NO_THROW(parse("[1, {\"a\": 2}]"));
  try {
    parse("[1, {\"a\": 2}, 3]");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[a] b: line 1, column 16: got more than 5 values, want fewer");
  }
}

TEST(Json, RefusesDuplicateKeys) {
  for (const bool ordered : {false, true}) {
    EXPECT_EQ(ParseError(R"({"a": {"b": 1}, "b": {"a": 2}, "c": [{"a": 1}, {"a": 1}]})", ordered),
              "no error");
    EXPECT_EQ(ParseError("{\"a\": 1,\n \"b\": 2, \"a\": 1}", ordered),
              "[config] file: line 2, column 12: got the key \"a\" twice in an object, want it "
              "once");
    EXPECT_THAT(ParseError(R"([{"x": {"": 1, "\u0061": 2, "a": 3}}])", ordered),
                HasSubstr("got the key \"a\" twice"));
    const std::string key = '"' + std::string(100'000, 'k') + "\": 1";
    EXPECT_THAT(ParseError("{" + key + ", " + key + "}", ordered),
                AllOf(HasSubstr("(100000 bytes)\" twice"), SizeIs(Lt(300))));
  }
}

TEST(Json, ReadsFiles) {
  const std::filesystem::path path = testing::TempDir() + "json_test.json";
  std::ofstream(path) << "[1, 2";
  try {
    ReadJsonFile(path, "config", "a list");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("json_test.json: line 1, column 5: got no valid JSON"));
  }
  std::ofstream(path) << "[1, 2]";
  EXPECT_EQ(ReadJsonFile(path, "config", "a list"), nlohmann::json({1, 2}));
  EXPECT_THROW(ReadJsonFile(path, "config", "a list", 5), Error);
  std::filesystem::remove(path);
}

TEST(Json, RefusesWhatFollowsANulByte) {
  for (const std::string_view text : {std::string_view("[1]\0[2]", 7), std::string_view("[1]\0", 4),
                                      std::string_view("\0", 1), std::string_view("[\"\0\"]", 5)}) {
    try {
      ParseJson(text, "area", "file");
      ADD_FAILURE() << text.size();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("got a NUL byte, want JSON"));
    }
  }
}

TEST(Json, IntegersHaveARange) {
  EXPECT_EQ(JsonInt(-3), -3);
  EXPECT_EQ(JsonInt(INT64_MAX), INT64_MAX);
  EXPECT_EQ(JsonInt(UINT64_MAX), std::nullopt);
  EXPECT_EQ(JsonInt(uint64_t{INT64_MAX} + 1), std::nullopt);
  EXPECT_EQ(JsonInt(5, 0, 5), 5);
  EXPECT_EQ(JsonInt(6, 0, 5), std::nullopt);
  EXPECT_EQ(JsonInt(-1, 0, 5), std::nullopt);
  for (const nlohmann::json& value :
       {nlohmann::json(1.0), nlohmann::json("1"), nlohmann::json(true), nlohmann::json(nullptr),
        nlohmann::json::array({1})}) {
    EXPECT_EQ(JsonInt(value), std::nullopt) << value;
  }
}

TEST(Json, ExcerptsAreShort) {
  EXPECT_EQ(JsonExcerpt(nlohmann::json::parse(R"({"a": [1, "x", null], "b": {}})")),
            R"({"a": [1, "x", null], "b": {}})");
  EXPECT_EQ(JsonExcerpt("\xFF"), "\"\xFF\"");
  for (const nlohmann::json& value :
       {nlohmann::json(std::string(100'000, 'x')), nlohmann::json(std::vector<int>(100'000)),
        nlohmann::json{{std::string(100'000, 'k'), 1}}}) {
    EXPECT_THAT(JsonExcerpt(value), AllOf(HasSubstr("..."), SizeIs(Lt(300))));
  }
  nlohmann::json deep = 1;
  for (int i = 0; i < 10'000; ++i) deep = nlohmann::json::array({std::move(deep)});
  EXPECT_EQ(JsonExcerpt(deep), "[[[[[...]]]]]");
}

}  // namespace
}  // namespace sinter

#include "text/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "text/regex_syntax.h"
#include "text/testing.h"

namespace sinter::text {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Patterns from the models' own tokenizer.json.
constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::vector<std::string> Words(const Pattern& pattern, std::string_view text) {
  std::vector<std::string> words;
  for (const Segment& segment : pattern.FindSegments(text)) {
    words.emplace_back(text.substr(segment.begin, segment.end - segment.begin));
  }
  return words;
}

// The last alternatives of DeepSeek-V3's pattern, which name punctuation and symbols.
constexpr const char* kDeepSeekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

TEST(Pattern, Gpt2) {
  const Pattern pattern = Pattern::Regex(kGpt2);
  EXPECT_THAT(Words(pattern, "I'll you'RE 3rd"),
              ElementsAre("I", "'ll", " you", "'", "RE", " 3", "rd"));
  EXPECT_THAT(Words(pattern, "Hello there       dear"),
              ElementsAre("Hello", " there", "      ", " dear"));
  EXPECT_THAT(Words(pattern, "a\n\n b  "), ElementsAre("a", "\n\n", " b", "  "));
  EXPECT_THAT(Words(pattern, "你好，世界"), ElementsAre("你好", "，", "世界"));
}

TEST(Pattern, Qwen2) {
  const Pattern pattern = Pattern::Regex(kQwen2);
  EXPECT_THAT(Words(pattern, "I'll I'LL go"), ElementsAre("I", "'ll", " I", "'LL", " go"));
  EXPECT_THAT(Words(pattern, "x=12345"), ElementsAre("x", "=", "1", "2", "3", "4", "5"));
  EXPECT_THAT(Words(pattern, "a\n\nb"), ElementsAre("a", "\n\n", "b"));
  EXPECT_THAT(Words(pattern, "a  \n b"), ElementsAre("a", "  \n", " b"));
  EXPECT_THAT(Words(pattern, "a   b\r\n"), ElementsAre("a", "  ", " b", "\r\n"));
  EXPECT_THAT(Words(pattern, "end.\n\n  "), ElementsAre("end", ".\n\n", "  "));
  EXPECT_THAT(Words(pattern, "你好，世界！"), ElementsAre("你好", "，世界", "！"));
  EXPECT_THAT(Words(pattern, "hi 👋🏽!"), ElementsAre("hi", " 👋🏽!"));
  // This pattern does not count a combining mark as a letter, so the mark joins the letters after
  // it.
  EXPECT_THAT(Words(pattern, "e\u0301a"), ElementsAre("e", "\u0301a"));
}

// A pattern splits characters of Unicode 15, 15.1 and 16 by their categories. With an older Unicode
// they have none.
TEST(Pattern, CharactersOfUnicode15And16) {
  const Pattern deep_seek = Pattern::Regex(kDeepSeekV3);
  // Symbols: U+1FABF, a goose (15), U+2FFC (15.1), U+1CC00 (16).
  for (const std::string symbol : {"\U0001FABF", "\u2FFC", "\U0001CC00"})
    EXPECT_THAT(Words(deep_seek, "a " + symbol + " b"), ElementsAre("a", " " + symbol, " b"));
  // Letters join letters: U+11F04 (15), U+2EBF0 (15.1), U+A7DA (16).
  for (const std::string letter : {"\U00011F04", "\U0002EBF0", "\uA7DA"})
    EXPECT_THAT(Words(deep_seek, "a" + letter + "b"), ElementsAre("a" + letter + "b"));
  // Marks join letters: U+11F00 (15), U+0897 (16).
  for (const std::string mark : {"\U00011F00", "\u0897"})
    EXPECT_THAT(Words(deep_seek, "a" + mark), ElementsAre("a" + mark));
  // Digits stand alone: U+11F50 (15), U+10D40 (16).
  const Pattern qwen = Pattern::Regex(kQwen2);
  for (const std::string digit : {"\U00011F50", "\U00010D40"})
    EXPECT_THAT(Words(qwen, "a" + digit + digit), ElementsAre("a", digit, digit));
  // The case decides: U+A7DA is an upper-case letter, U+1C8A a lower-case one (16).
  EXPECT_THAT(Words(Pattern::Regex(kO200k), "a\uA7DA\u1C8A"), ElementsAre("a", "\uA7DA\u1C8A"));
}

TEST(Pattern, Llama3) {
  const Pattern pattern = Pattern::Regex(kLlama3);
  EXPECT_THAT(Words(pattern, "x=1234567"), ElementsAre("x", "=", "123", "456", "7"));
  EXPECT_THAT(Words(pattern, "٣٤٥٦ ½"), ElementsAre("٣٤٥", "٦", " ", "½"));
  EXPECT_THAT(Words(pattern, "it's 'quoted'"), ElementsAre("it", "'s", " '", "quoted", "'"));
}

TEST(Pattern, O200k) {
  const Pattern pattern = Pattern::Regex(kO200k);
  EXPECT_THAT(Words(pattern, "HelloWorld HTTPServer's"),
              ElementsAre("Hello", "World", " HTTPServer's"));
  EXPECT_THAT(Words(pattern, "I'll THEY'RE"), ElementsAre("I'll", " THEY'RE"));
  EXPECT_THAT(Words(pattern, "e\u0301a"), ElementsAre("e\u0301a"));
  EXPECT_THAT(Words(pattern, "//a/\n"), ElementsAre("//", "a", "/\n"));
  EXPECT_THAT(Words(pattern, "2024年"), ElementsAre("202", "4", "年"));
}

TEST(Pattern, WhiteSpaceIsUnicodes) {
  const Pattern pattern = Pattern::Regex(R"(\s+)");
  EXPECT_THAT(Words(pattern, "a\u0085\u00A0\u2003\u3000b"),
              ElementsAre("a", "\u0085\u00A0\u2003\u3000", "b"));
  // U+180E stopped being white space in Unicode 6.3; PCRE2's own \s still has it.
  EXPECT_THAT(Words(pattern, "a\u180Eb"), ElementsAre("a\u180Eb"));
}

TEST(Pattern, EmptyMatches) {
  EXPECT_EQ(Pattern::Regex("x*").Replace("axb", "-", 100), "-a-b-");
  EXPECT_EQ(Pattern::Regex("$").Replace("é", "!", 100), "é!");
  EXPECT_EQ(Pattern::Regex("^").Replace("a\nb", ">", 100), ">a\n>b");
  EXPECT_EQ(Pattern::Regex("x*").Replace("", "-", 100), "-");
}

TEST(Pattern, Literals) {
  const Pattern pattern = Pattern::Literal("aa");
  EXPECT_THAT(Words(pattern, "aaaab.aa"), ElementsAre("aa", "aa", "b.", "aa"));
  EXPECT_EQ(pattern.Replace("aaa", "b", 100), "ba");
  EXPECT_THAT(Words(Pattern::Literal("."), "a.b"), ElementsAre("a", ".", "b"));
  EXPECT_THAT(Words(Pattern::Literal(""), "ab"), ElementsAre("ab"));
  EXPECT_THAT(Words(pattern, ""), ElementsAre());
}

TEST(Pattern, OnigurumaSyntax) {
  EXPECT_EQ(OnigurumaToPcre2(R"(\s[\s]\S)"),
            R"([\p{White_Space}][\p{White_Space}][^\p{White_Space}])");
  EXPECT_EQ(OnigurumaToPcre2(R"(\p{L}{,3}\u4E00[\u4E00-\u9FFF])"),
            R"(\p{L}{0,3}\x{4E00}[\x{4E00}-\x{9FFF}])");
  EXPECT_EQ(OnigurumaToPcre2(R"(\p{N}{1,3}+a{2}?{x})"), R"((?:\p{N}{1,3})+a{2}?{x})");
  EXPECT_EQ(OnigurumaToPcre2("(?mi:a)(?<m>b)(?=m)"), "(?si:a)(?<m>b)(?=m)");
  EXPECT_EQ(OnigurumaToPcre2(R"([]a][[:alpha:]][^\]\[])"), R"([]a][[:alpha:]][^\]\[])");
  EXPECT_EQ(OnigurumaToPcre2(R"(\h[\h]\H\w)"),
            R"([0-9A-Fa-f][0-9A-Fa-f][^0-9A-Fa-f][\p{Alphabetic}\p{M}\p{Nd}\p{Pc}])");
  EXPECT_THAT(Words(Pattern::Regex("[a-z&&[^aeiou]]+"), "hello"), ElementsAre("h", "e", "ll", "o"));
  EXPECT_THAT(Words(Pattern::Regex(R"([\p{L}&&[^\p{Han}]]+)"), "ab你c"),
              ElementsAre("ab", "你", "c"));
  EXPECT_THAT(Words(Pattern::Regex("[^a-z&&[^aeiou]]+"), "hello!"),
              ElementsAre("h", "e", "ll", "o!"));
  EXPECT_THAT(Words(Pattern::Regex("[a[0-9]]+"), "a1b"), ElementsAre("a1", "b"));
  EXPECT_THAT(Words(Pattern::Regex("[^a[^0-9a]]+"), "xa19"), ElementsAre("xa", "19"));
  EXPECT_THAT(Words(Pattern::Regex(R"([\W\H]+)"), "ag !b"), ElementsAre("a", "g !", "b"));
  EXPECT_THAT(Words(Pattern::Regex("[a&&b]|c"), "abc"), ElementsAre("ab", "c"));
  EXPECT_THAT(Words(Pattern::Regex(R"(\p{N}{1,3}+)"), "12345a"), ElementsAre("12345", "a"));
  EXPECT_EQ(OnigurumaToPcre2("x(?:é(a)){2}+b"), "x(?:(?:é(a)){2})+b");
  EXPECT_EQ(OnigurumaToPcre2("aé{2}+(?i)[b]{1,2}+"), "a(?:é{2})+(?i)(?:[b]{1,2})+");
}

TEST(Pattern, BadExpressions) {
  EXPECT_ERROR(Pattern::Regex("(a"), "[tokenizer] pattern \"(a\": missing closing parenthesis");
  EXPECT_ERROR(Pattern::Regex("[a"), "set without end");
  EXPECT_ERROR(Pattern::Regex("\\"), "\\ at end of pattern");
  EXPECT_ERROR(Pattern::Regex("\\p{Nonsense}"), "unknown property");
  EXPECT_ERROR(Pattern::Regex("(*NO_JIT)a"), "leading (*VERB)");
  EXPECT_ERROR(Pattern::Regex("\\C"), "\\C");
  EXPECT_ERROR(Pattern::Regex(std::string(100, '(') + std::string(100, ')')), "too deeply nested");
  EXPECT_ERROR(Pattern::Regex(std::string(100, '[')), "nested more than 16 deep");
  EXPECT_ERROR(Pattern::Regex(std::string(20000, 'a')), "got 20000 bytes");
  // PCRE2 refuses \K inside a lookahead when it compiles. Reached through a subroutine, \K would
  // make a match begin after its end: recent versions of PCRE2 refuse that match themselves.
  EXPECT_ERROR(Pattern::Regex(R"((?=ab\K))"), "\\K");
  try {
    Pattern::Regex(R"((?=(?1)).|(?!)(ab\K))").FindSegments("ab");
    ADD_FAILURE() << "want an Error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AnyOf(HasSubstr("disallowed use of \\K in lookaround"),
                                    HasSubstr("begins after its end")));
  }
}

TEST(Pattern, HostileExpressionsEndInAnError) {
  const auto start = std::chrono::steady_clock::now();
  const std::string text = std::string(5000, 'a') + "b";
  EXPECT_ERROR(Pattern::Regex("(a+)+$").FindSegments(text), "limit exceeded");
  EXPECT_ERROR(Pattern::Regex("(a|aa)+$").FindSegments(text), "limit exceeded");
  EXPECT_ERROR(Pattern::Regex(R"(\((?R)*\))").FindSegments(std::string(1 << 20, '(') + ")"),
               "limit exceeded");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(Pattern, ManySlowMatchesEndInAnError) {
  // Each match first tries about 2^17 ways to fail, which is fewer steps than one match may take.
  const Pattern pattern = Pattern::Regex("(?=(?:a|aa|(?!)){17}[bc])x|a");
  EXPECT_ERROR(pattern.FindSegments(std::string(50'000, 'a')), "time limit");
}

TEST(Pattern, DeepBacktrackingHasRoom) {
  // Each repetition of a group keeps a frame; together they exceed the thread's own stack.
  const std::string text(100'000, 'a');
  EXPECT_EQ(Pattern::Regex("(?:(a)|b)*c?").FindSegments(text).size(), 1u);
}

TEST(Pattern, ReplaceRefusesToExplode) {
  EXPECT_ERROR(Pattern::Literal("a").Replace("aaaa", "bbbb", 10), "got more than 10 bytes");
}

TEST(Pattern, FromJson) {
  const auto parse = [](const char* json) {
    return Pattern::FromJson(Json::parse(json), "pattern", "Split");
  };
  EXPECT_EQ(parse(R"({"pattern":{"String":"a.c"}})").Replace("abca.c", "x", 99), "abcx");
  EXPECT_EQ(parse(R"({"pattern":{"Regex":"a.c"}})").Replace("abca.c", "x", 99), "xx");
  EXPECT_EQ(parse(R"({"pattern":" "})").Replace("a b", "_", 99), "a_b");
  EXPECT_ERROR(parse("{}"), "Split: field \"pattern\" is missing");
  EXPECT_ERROR(parse(R"({"pattern":{"Glob":"*"}})"), "want {\"String\": ...} or {\"Regex\": ...}");
  EXPECT_ERROR(parse(R"({"pattern":{"Regex":7}})"), "got number, want a string");
  EXPECT_ERROR(parse(R"({"pattern":[7]})"), "got array, want an object");
}

}  // namespace
}  // namespace sinter::text

#include "text/decoder.h"

#include <gtest/gtest.h>

#include <random>

#include "text/testing.h"

namespace sinter::text {
namespace {

const std::string kBad(kReplacementCharacter);

Decoder Make(const std::string& json) {
  const Json parsed = Json::parse(json);
  return Decoder::FromJson(&parsed);
}

std::string Decode(const std::string& json, const std::vector<std::string>& tokens) {
  const Decoder decoder = Make(json);
  std::string out;
  const auto chain = decoder.Start(&out);
  for (const std::string& token : tokens) chain->Push(token);
  chain->Finish();
  return out;
}

std::string Sequence(const std::string& parts) {
  return fmt::format(R"({{"type":"Sequence","decoders":[{}]}})", parts);
}
std::string Type(const char* type) { return fmt::format(R"({{"type":"{}"}})", type); }
std::string Strip(int start, int stop) {
  return fmt::format(R"({{"type":"Strip","content":" ","start":{},"stop":{}}})", start, stop);
}
std::string Replace(const char* kind, const char* pattern, const char* content) {
  return fmt::format(R"({{"type":"Replace","pattern":{{"{}":"{}"}},"content":"{}"}})", kind,
                     pattern, content);
}

TEST(Decoder, None) {
  std::string out;
  const Decoder decoder = Decoder::FromJson(nullptr);
  const auto chain = decoder.Start(&out);
  for (const char* token : {"a", "", "b"}) chain->Push(token);
  chain->Finish();
  EXPECT_EQ(out, "a  b");
}

TEST(Decoder, ByteLevel) {
  EXPECT_EQ(Decode(Type("ByteLevel"), {"Hello", "Ġmy", "<|end|>", "Ã", "©"}), "Hello my<|end|>é");
  EXPECT_EQ(Decode(Type("ByteLevel"), {"ä", "½", "a"}), kBad + "a");
  EXPECT_EQ(Decode(Type("ByteLevel"), {"你", "ä"}), "你" + kBad);
}

TEST(Decoder, ByteFallback) {
  EXPECT_EQ(Decode(Type("ByteFallback"), {"Hey", "friend!"}), "Heyfriend!");
  EXPECT_EQ(Decode(Type("ByteFallback"), {"<0x61>"}), "a");
  EXPECT_EQ(Decode(Type("ByteFallback"), {"<0xE5>"}), kBad);
  EXPECT_EQ(Decode(Type("ByteFallback"), {"<0xE5>", "<0x8f>"}), kBad + kBad);
  EXPECT_EQ(Decode(Type("ByteFallback"), {"<0xE5>", "<0x8f>", "<0xab>"}), "叫");
  EXPECT_EQ(Decode(Type("ByteFallback"), {"<0xE5>", "<0x8f>", "<0xab>", "a"}), "叫a");
  EXPECT_EQ(Decode(Type("ByteFallback"), {"<0x61>", "<0xE5>", "a"}), kBad + kBad + "a");
  EXPECT_EQ(Decode(Type("ByteFallback"), {"<0xG1>", "<0x6>", "<0x611>"}), "<0xG1><0x6><0x611>");
}

TEST(Decoder, ReplaceStripFuse) {
  EXPECT_EQ(Decode(Replace("String", "▁", " "), {"▁a", "▁▁b"}), " a  b");
  EXPECT_EQ(Decode(Replace("Regex", "▁+", " "), {"▁a", "▁▁b"}), " a b");
  EXPECT_EQ(Decode(Strip(1, 0), {"  a", " b", "c "}), " abc ");
  EXPECT_EQ(Decode(Strip(0, 2), {"a   ", "b "}), "a b");
  EXPECT_EQ(Decode(Strip(1, 1), {" "}), "");
  EXPECT_EQ(Decode(Sequence(Type("Fuse") + "," + Strip(1, 0)), {"  a", " b"}), " a b");
  EXPECT_EQ(Decode(Sequence(Type("Fuse") + "," + Strip(0, 1)), {"a ", " b ", " "}), "a  b ");
  EXPECT_EQ(Decode(Sequence(""), {"a", "b"}), "ab");
}

TEST(Decoder, Llama) {
  const std::string llama = Sequence(Replace("String", "▁", " ") + "," + Type("ByteFallback") +
                                     "," + Type("Fuse") + "," + Strip(1, 0));
  EXPECT_EQ(Decode(llama, {"▁Hello", "▁", "<0xE4>", "<0xBD>", "<0xA0>", "!"}), "Hello 你!");
  EXPECT_EQ(Decode(llama, {"<0x20>", "▁a"}), " a");
  EXPECT_EQ(Decode(llama, {}), "");
}

TEST(Decoder, Metaspace) {
  const std::string metaspace = R"({"type":"Metaspace","replacement":"▁"})";
  EXPECT_EQ(Decode(metaspace, {"▁Hey", "▁friend!"}), "Hey friend!");
  EXPECT_EQ(Decode(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"never"})",
                   {"▁Hey", "▁you"}),
            " Hey you");
  EXPECT_EQ(Decode(R"({"type":"Metaspace","replacement":"▁","add_prefix_space":false})", {"▁Hey"}),
            " Hey");
  EXPECT_EQ(Decode(Sequence(Type("Fuse") + "," + metaspace), {"▁Hey", "▁you"}), "Heyyou");
}

TEST(Decoder, BpeSuffix) {
  EXPECT_EQ(Decode(R"({"type":"BPEDecoder","suffix":"</w>"})", {"my</w>", "fri", "end</w>"}),
            "my friend");
  EXPECT_EQ(Decode(Type("BPEDecoder"), {"a</w>"}), "a");
  EXPECT_EQ(Decode(Type("BPEDecoder"), {}), "");
}

// After Fuse, all tokens are one text. The links get it in pieces and must give the same result as
// for the whole text.
TEST(Decoder, WholeTextInPieces) {
  const std::vector<std::string> parts = {Replace("String", "aab", "X"),
                                          Replace("Regex", "a+b", "Y"),
                                          Strip(2, 2),
                                          Type("ByteFallback"),
                                          R"({"type":"Metaspace","replacement":"a"})",
                                          Type("BPEDecoder"),
                                          Type("ByteLevel"),
                                          Replace("String", "", "Z")};
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    const char* const alphabet[] = {"a", "b", " ", "<0x61>", "</w>", "é"};
    for (uint32_t i = random() % 10; i > 0; --i) text += alphabet[random() % (round % 2 ? 3 : 6)];
    std::vector<std::string> pieces;
    for (size_t pos = 0; pos < text.size();) {
      const size_t begin = pos;
      do NextCodePoint(text, &pos);
      while (pos < text.size() && random() % 2);
      pieces.push_back(text.substr(begin, pos - begin));
    }
    const std::string& part = parts[random() % parts.size()];
    const std::string whole = Decode(part, {text});
    ASSERT_EQ(Decode(Sequence(Type("Fuse") + "," + part), pieces), whole)
        << part << " on \"" << text << '"';
    // A second link after the first one must agree too.
    ASSERT_EQ(Decode(Sequence(Type("Fuse") + "," + part + "," + Strip(1, 1)), pieces),
              Decode(Strip(1, 1), {whole}));
  }
}

TEST(Decoder, StreamsWhatIsCertain) {
  const auto pieces = [](const std::string& json, const std::vector<std::string>& tokens) {
    const Decoder decoder = Make(json);
    std::string out;
    const auto chain = decoder.Start(&out);
    std::vector<std::string> pieces;
    for (const std::string& token : tokens) {
      chain->Push(token);
      pieces.push_back(std::exchange(out, {}));
    }
    chain->Finish();
    pieces.push_back(out);
    return pieces;
  };
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(pieces(Type("ByteLevel"), {"a", "ä", "½", "ł", "Ã", "b"}),
            (Pieces{"a", "", "", "你", "", kBad + "b", ""}));
  EXPECT_EQ(pieces(Sequence(Type("ByteFallback") + "," + Type("Fuse") + "," + Strip(1, 0)),
                   {" a", "<0xC3>", "<0xA9>", "b"}),
            (Pieces{"a", "", "", "éb", ""}));
  EXPECT_EQ(
      pieces(Sequence(Type("Fuse") + "," + Replace("String", "abc", "X")), {"za", "b", "d", "ab"}),
      (Pieces{"z", "", "abd", "", "ab"}));
  EXPECT_EQ(pieces(Sequence(Type("Fuse") + "," + Strip(0, 1)), {"a ", " ", "b"}),
            (Pieces{"a", " ", " b", ""}));
}

TEST(Decoder, Errors) {
  EXPECT_ERROR(Make(Type("CTC")), "[tokenizer] decoder: got type \"CTC\", want ByteLevel");
  EXPECT_ERROR(Make(R"({"type":"Strip","content":" ","start":-1,"stop":0})"), "start: got -1");
  EXPECT_ERROR(Make(R"({"type":"Strip","content":" ","start":1.5,"stop":0})"), "start: got 1.5");
  EXPECT_ERROR(Make(R"({"type":"Strip","content":"","start":1,"stop":0})"), "want one character");
  EXPECT_ERROR(Make(R"({"type":"Replace","pattern":{"String":"a"}})"),
               "field \"content\" is missing");
  std::string deep = Type("Fuse");
  for (int i = 0; i < 20; ++i) deep = Sequence(deep);
  EXPECT_ERROR(Make(deep), "nested more than 16 deep");
  std::string chain = Replace("String", "a", "aaaaaaaaaa");
  for (int i = 0; i < 20; ++i) chain += "," + Replace("String", "a", "aaaaaaaaaa");
  EXPECT_ERROR(Decode(Sequence(chain), {"a"}), "grows the text less");
}

}  // namespace
}  // namespace sinter::text

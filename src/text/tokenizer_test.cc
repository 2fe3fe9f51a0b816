#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include <chrono>
#include <random>

#include "text/testing.h"

namespace sinter::text {
namespace {

using testing::ElementsAre;
using Ids = std::vector<int32_t>;

const std::string kBad(kReplacementCharacter);

TEST(Tokenizer, ByteLevelIds) {
  const Tokenizer tokenizer = Load(TestTokenizer("byte_level.json"));
  EXPECT_EQ(tokenizer.VocabSize(), 273);
  EXPECT_THAT(tokenizer.Encode("hello world", false), ElementsAre(259, 264));
  EXPECT_THAT(tokenizer.Encode("hell", false), ElementsAre(258));
  // "   h" is two spaces, which merge, and " h", which does not: 'Ġ' and 'h' have no merge.
  EXPECT_THAT(tokenizer.Encode("   h", false), ElementsAre(265, 32, 104));
  EXPECT_THAT(tokenizer.Encode("你", false), ElementsAre(268));
  EXPECT_THAT(tokenizer.Encode("…", false), ElementsAre(266, 0xA6));
  EXPECT_THAT(tokenizer.Encode("<|im_start|>hello<|im_end|>\n", true),
              ElementsAre(270, 259, 271, 10));
  EXPECT_THAT(tokenizer.Encode("<think>", false), ElementsAre(272));
  EXPECT_THAT(tokenizer.Encode("e\u0301", false), ElementsAre(0xC3, 0xA9));  // NFC
  EXPECT_THAT(tokenizer.Encode("", true), ElementsAre());
  EXPECT_THAT(tokenizer.Encode("\xFF", false), ElementsAre(0xEF, 0xBF, 0xBD));
  EXPECT_THAT(tokenizer.Encode(std::string_view("\0", 1), false), ElementsAre(0));
}

TEST(Tokenizer, SentencePieceIds) {
  const Tokenizer tokenizer = Load(TestTokenizer("sentencepiece.json"));
  EXPECT_THAT(tokenizer.Encode("hello world", true), ElementsAre(1, 273, 278));
  EXPECT_THAT(tokenizer.Encode("hello  world", false), ElementsAre(273, 259, 278));
  EXPECT_THAT(tokenizer.Encode("你", false), ElementsAre(259, 268));
  EXPECT_THAT(tokenizer.Encode("好", false), ElementsAre(259, 3 + 0xE5, 3 + 0xA5, 3 + 0xBD));
  // The added token's rstrip takes the newline. Each text between added tokens gets its own prefix.
  EXPECT_THAT(tokenizer.Encode("<|user|>\nhello<|end|>\n", true), ElementsAre(1, 280, 273, 281));
  EXPECT_THAT(tokenizer.Encode("", true), ElementsAre(1));
  EXPECT_EQ(tokenizer.Decode(Ids{1, 273, 278, 281}, true), "hello world");
  EXPECT_EQ(tokenizer.Decode(Ids{1, 273, 278, 281}, false), "<s> hello world<|end|>");
  EXPECT_EQ(tokenizer.Decode(Ids{259, 3 + 0xE5, 3 + 0xA5, 3 + 0xBD}, true), "好");
}

TEST(Tokenizer, GemmaComponents) {
  Json json = TestTokenizer("sentencepiece.json");
  json["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  json["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"String", " "}}}, {"behavior", "MergedWithPrevious"}};
  json["decoder"]["decoders"].erase(3);
  const Tokenizer tokenizer = Load(json);
  EXPECT_THAT(tokenizer.Encode("hello world", true), ElementsAre(1, 260, 261 + 10, 263, 278));
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(" hello  world", false), true), " hello  world");
}

TEST(Tokenizer, MistralMetaspace) {
  Json json = TestTokenizer("sentencepiece.json");
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}, {"split", false}};
  const Tokenizer tokenizer = Load(json);
  EXPECT_THAT(tokenizer.Encode("hello world", false), ElementsAre(273, 278));
  EXPECT_THAT(tokenizer.Encode("hello<|user|>or", false), ElementsAre(273, 280, 274));
}

TEST(Tokenizer, TokensAndIds) {
  const Tokenizer tokenizer = Load(TestTokenizer("byte_level.json"));
  EXPECT_EQ(tokenizer.TokenToId("<|im_end|>"), 271);
  EXPECT_EQ(tokenizer.TokenToId("hello"), 259);
  EXPECT_EQ(tokenizer.TokenToId("nothing"), std::nullopt);
  EXPECT_EQ(tokenizer.IdToToken(264), "Ġworld");
  EXPECT_EQ(tokenizer.IdToToken(271), "<|im_end|>");
  for (const int32_t id : {-1, 273, INT32_MAX, INT32_MIN})
    EXPECT_EQ(tokenizer.IdToToken(id), std::nullopt);
  EXPECT_TRUE(tokenizer.IsSpecial(271));
  EXPECT_FALSE(tokenizer.IsSpecial(272));
  EXPECT_FALSE(tokenizer.IsSpecial(0));
}

TEST(Tokenizer, DecodeSkipsWhatIsNoToken) {
  const Tokenizer tokenizer = Load(TestTokenizer("byte_level.json"));
  EXPECT_EQ(tokenizer.Decode(Ids{270, 259, 271, 272}, true), "hello<think>");
  EXPECT_EQ(tokenizer.Decode(Ids{270, 259, 271}, false), "<|im_start|>hello<|im_end|>");
  EXPECT_EQ(tokenizer.Decode(Ids{-1, 259, 273, 100000, INT32_MIN}, false), "hello");
  EXPECT_EQ(tokenizer.Decode(Ids{}, false), "");
}

TEST(Tokenizer, ByteLevelRoundTrip) {
  Json json = TestTokenizer("byte_level.json");
  json["normalizer"] = nullptr;
  const Tokenizer tokenizer = Load(json);
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    const std::string text = RandomText(random, static_cast<int>(random() % 60));
    ASSERT_EQ(tokenizer.Decode(tokenizer.Encode(text, true), false), text);
  }
}

TEST(Tokenizer, SentencePieceRoundTrip) {
  const Tokenizer tokenizer = Load(TestTokenizer("sentencepiece.json"));
  std::mt19937 random(12);
  for (int round = 0; round < 500; ++round) {
    const std::string text =
        fmt::format("x{}", RandomText(random, static_cast<int>(random() % 60)));
    // The marker itself is decoded as a space.
    if (text.find("▁") != std::string::npos) continue;
    ASSERT_EQ(tokenizer.Decode(tokenizer.Encode(text, true), true), text);
  }
}

TEST(StreamDecoder, SameAsDecode) {
  for (const char* name : {"byte_level.json", "sentencepiece.json"}) {
    const Tokenizer tokenizer = Load(TestTokenizer(name));
    std::mt19937 random(13);
    for (int round = 0; round < 2000; ++round) {
      Ids ids(random() % 20);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % 290) - 2;
      const bool skip = round % 2 == 0;
      ASSERT_EQ(Stream(tokenizer, ids, skip), tokenizer.Decode(ids, skip));
    }
  }
}

TEST(StreamDecoder, HoldsIncompleteCharacters) {
  const Tokenizer tokenizer = Load(TestTokenizer("byte_level.json"));
  StreamDecoder decoder(tokenizer, true);
  EXPECT_EQ(decoder.Push(259), "hello");
  EXPECT_EQ(decoder.Push(0xF0), "");
  EXPECT_EQ(decoder.Push(0x9F), "");
  EXPECT_EQ(decoder.Push(271), "");  // skipped; the bytes keep waiting
  EXPECT_EQ(decoder.Push(0x98), "");
  EXPECT_EQ(decoder.Push(0x80), "😀");
  EXPECT_EQ(decoder.Push(267), "");          // first two bytes of 你
  EXPECT_EQ(decoder.Push('a'), kBad + "a");  // they can no longer be completed
  EXPECT_EQ(decoder.Push(0xFF), kBad);
  EXPECT_EQ(decoder.Push(267), "");
  EXPECT_EQ(decoder.Flush(), kBad);
  EXPECT_EQ(decoder.Flush(), "");
  EXPECT_EQ(decoder.Push(259), "hello");  // the decoder is reset
}

TEST(StreamDecoder, CostIsLinear) {
  const Tokenizer tokenizer = Load(TestTokenizer("byte_level.json"));
  const auto start = std::chrono::steady_clock::now();
  StreamDecoder decoder(tokenizer, true);
  size_t bytes = 0;
  for (int i = 0; i < 500'000; ++i) bytes += decoder.Push(259).size();
  EXPECT_EQ(bytes, 2'500'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(StreamDecoder, OutlivesTheTokenizer) {
  auto tokenizer = std::make_unique<Tokenizer>(Load(TestTokenizer("byte_level.json")));
  StreamDecoder decoder(*tokenizer, true);
  tokenizer.reset();
  EXPECT_EQ(decoder.Push(259), "hello");
}

TEST(PostProcessor, BosAndEos) {
  Json json = TestTokenizer("byte_level.json");
  const Json bos = {{"SpecialToken", {{"id", "<|im_start|>"}, {"type_id", 0}}}};
  const Json eos = {{"SpecialToken", {{"id", "<|im_end|>"}, {"type_id", 0}}}};
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json specials = {
      {"<|im_start|>", {{"id", "<|im_start|>"}, {"ids", {270}}, {"tokens", {"<|im_start|>"}}}},
      {"<|im_end|>", {{"id", "<|im_end|>"}, {"ids", {271}}, {"tokens", {"<|im_end|>"}}}}};
  const Json both = {
      {"type", "TemplateProcessing"}, {"single", {bos, text, eos}}, {"special_tokens", specials}};
  json["post_processor"] = both;
  EXPECT_THAT(Load(json).Encode("a", true), ElementsAre(270, 97, 271));
  EXPECT_THAT(Load(json).Encode("a", false), ElementsAre(97));
  json["post_processor"] = {{"type", "Sequence"},
                            {"processors", {{{"type", "ByteLevel"}}, both, both}}};
  EXPECT_THAT(Load(json).Encode("a", true), ElementsAre(270, 270, 97, 271, 271));

  const auto load = [&](const Json& post_processor) {
    json["post_processor"] = post_processor;
    return Load(json);
  };
  EXPECT_ERROR(load({{"type", "BertProcessing"}}), "post_processor: got type \"BertProcessing\"");
  Json bad = both;
  bad["single"] = {bos, text, text};
  EXPECT_ERROR(load(bad), "got 2 sequences in the template for a single text, want 1");
  bad["single"] = Json::array({bos});
  EXPECT_ERROR(load(bad), "got 0 sequences");
  bad["single"] = Json::array({Json::object({{"Other", 1}})});
  EXPECT_ERROR(load(bad), "field \"SpecialToken\" is missing");
  bad = both;
  bad["special_tokens"].erase("<|im_end|>");
  EXPECT_ERROR(load(bad), "got \"<|im_end|>\" in the template, want it among special_tokens");
  bad = both;
  bad["special_tokens"]["<|im_end|>"]["ids"] = {273};
  EXPECT_ERROR(load(bad), "id of <|im_end|>: got 273, want an integer from 0 to 272");
}

TEST(Tokenizer, ErrorsNameTheComponent) {
  EXPECT_ERROR(Tokenizer::FromJson(""),
               "[tokenizer] tokenizer.json: line 1, column 1: got no valid JSON");
  const std::string token(1'000'000, 'x');
  try {
    Tokenizer::FromJson(R"({"model": {"vocab": {"a": 0, ")" + token + R"(": 0}, "merges": []}})");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("got id 0 for both"));
    EXPECT_THAT(error.what(), testing::HasSubstr("want one token for each id"));
    EXPECT_LT(std::string_view(error.what()).size(), 2100u) << "a whole token";
  }
  EXPECT_ERROR(Tokenizer::FromJson("[]"), "tokenizer.json: got array, want an object");
  EXPECT_ERROR(Tokenizer::FromJson("{}"), "tokenizer.json: field \"model\" is missing");
  EXPECT_ERROR(Tokenizer::FromJson("{\"model\": \"\xFF\"}"), "got no valid JSON");
  EXPECT_ERROR(Tokenizer::FromFile("/nonexistent/tokenizer.json"),
               "/nonexistent/tokenizer.json: got no such file, want a tokenizer.json");
  EXPECT_ERROR(Tokenizer::FromFile("/"), "[tokenizer] /: got a directory, want a tokenizer.json");
  const std::string not_json = testing::TempDir() + "not_json.txt";
  std::ofstream(not_json) << "no JSON";
  EXPECT_ERROR(Tokenizer::FromFile(not_json), "not_json.txt: line 1, column 2: got no valid JSON");
  EXPECT_ERROR(Tokenizer::FromJson(std::string(1'000'000, '[')), "nested more than 128 deep");
  EXPECT_ERROR(Tokenizer::FromJson(fmt::format("{{\"model\":{:[>1000000}{:]>1000000}}}", "", "")),
               "nested more than 128 deep");
}

// Expects that a damaged file gives a tokenizer that works or an Error.
void TryDamaged(const std::string& json) {
  try {
    const Tokenizer tokenizer = Tokenizer::FromJson(json);
    const Ids ids = tokenizer.Encode("hello  world <|im_end|> 你好 <s>\xFF", true);
    const std::string text = tokenizer.Decode(ids, false);
    ASSERT_TRUE(IsValidUtf8(text));
    ASSERT_EQ(Stream(tokenizer, ids, true), tokenizer.Decode(ids, true));
  } catch (const Error& error) {
    ASSERT_THAT(error.what(), testing::StartsWith("[tokenizer] "));
  }
}

TEST(Tokenizer, TruncatedFiles) {
  for (const char* name : {"byte_level.json", "sentencepiece.json"}) {
    const std::string json = ReadTestFile(name);
    for (size_t size = 0; size < json.size(); size += 7) TryDamaged(json.substr(0, size));
  }
}

TEST(Tokenizer, FlippedBits) {
  std::mt19937 random(17);
  for (const char* name : {"byte_level.json", "sentencepiece.json"}) {
    const std::string json = ReadTestFile(name);
    for (int round = 0; round < 1500; ++round) {
      std::string damaged = json;
      for (uint32_t flips = 1 + random() % 2; flips > 0; --flips) {
        damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
      }
      TryDamaged(damaged);
    }
  }
}

// Replaces random values of the file by values of another type or size.
TEST(Tokenizer, WrongValues) {
  std::mt19937 random(19);
  const Json replacements = {nullptr,
                             true,
                             -1,
                             4294967296,
                             1e300,
                             "",
                             "x",
                             Json::array(),
                             Json::object(),
                             {{"type", "Sequence"}}};
  for (const char* name : {"byte_level.json", "sentencepiece.json"}) {
    const Json flat = TestTokenizer(name).flatten();
    for (int round = 0; round < 1000; ++round) {
      Json json = TestTokenizer(name);
      auto it = flat.begin();
      std::advance(it, random() % flat.size());
      Json::json_pointer pointer(it.key());
      // Sometimes replaces a whole component instead of one of its values.
      for (uint32_t up = random() % 3; up > 0 && !pointer.empty(); --up) pointer.pop_back();
      json[pointer] = replacements[random() % replacements.size()];
      TryDamaged(json.dump());
    }
  }
}

}  // namespace
}  // namespace sinter::text

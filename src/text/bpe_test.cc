#include "text/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <random>
#include <thread>

#include "text/testing.h"

namespace sinter::text {
namespace {

using testing::ElementsAre;

std::vector<int32_t> Encode(const Bpe& bpe, std::string_view word) {
  std::vector<int32_t> ids;
  bpe.Encode(word, &ids);
  return ids;
}

Json Model(const Json& vocab, const Json& merges = Json::array()) {
  return {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}};
}

// Example from the reference tokenizer.
const Json kUnrelated =
    Model({{"u", 0},
           {"n", 1},
           {"r", 2},
           {"e", 3},
           {"l", 4},
           {"a", 5},
           {"t", 6},
           {"d", 7},
           {"re", 8},
           {"at", 9},
           {"ed", 10},
           {"un", 11},
           {"ated", 12},
           {"rel", 13},
           {"related", 14},
           {"unrelated", 15}},
          {"r e", "a t", "e d", "u n", "at ed", "re l", "rel ated", "un related"});

TEST(Bpe, MergesByRank) {
  const Bpe bpe(kUnrelated);
  EXPECT_THAT(Encode(bpe, "unrelated"), ElementsAre(15));
  EXPECT_THAT(Encode(bpe, "related"), ElementsAre(14));
  EXPECT_THAT(Encode(bpe, "tared"), ElementsAre(6, 5, 8, 7));
  EXPECT_THAT(Encode(bpe, ""), ElementsAre());
  EXPECT_THAT(Encode(bpe, "unrelated"), ElementsAre(15));  // from the cache
}

TEST(Bpe, MergesAsPairsWithSpaces) {
  const Bpe bpe(Model({{" ", 0}, {"  ", 1}, {"a", 2}, {"  a", 3}},
                      Json::parse(R"([[" ", " "], ["  ", "a"]])")));
  EXPECT_THAT(Encode(bpe, "  a"), ElementsAre(3));
  EXPECT_THAT(Encode(bpe, "   a"), ElementsAre(1, 0, 2));  // leftmost first
}

TEST(Bpe, UnknownCharacters) {
  Json model = Model({{"<unk>", 0}, {"a", 1}, {"b", 2}});
  EXPECT_THAT(Encode(Bpe(model), "accb"), ElementsAre(1, 2));  // dropped: no unk_token
  model["unk_token"] = "<unk>";
  EXPECT_THAT(Encode(Bpe(model), "accb"), ElementsAre(1, 0, 0, 2));
  model["fuse_unk"] = true;
  EXPECT_THAT(Encode(Bpe(model), "accbc"), ElementsAre(1, 0, 2, 0));
  model["unk_token"] = "<gone>";
  EXPECT_ERROR(Encode(Bpe(model), "ac"), "got no token for \"c\" and unk_token \"<gone>\"");
  EXPECT_THAT(Encode(Bpe(model), "ab"), ElementsAre(1, 2));
}

TEST(Bpe, ByteFallback) {
  Json model = Model({{"<unk>", 0}, {"<0x61>", 1}, {"<0xC3>", 2}, {"<0xA9>", 3}});
  model["unk_token"] = "<unk>";
  model["byte_fallback"] = true;
  EXPECT_THAT(Encode(Bpe(model), "a"), ElementsAre(1));
  EXPECT_THAT(Encode(Bpe(model), "é"), ElementsAre(2, 3));
  EXPECT_THAT(Encode(Bpe(model), "c"), ElementsAre(0));
  EXPECT_THAT(Encode(Bpe(model), "ç"),
              ElementsAre(0));  // <0xA7> is missing, so no byte token is used
}

TEST(Bpe, IgnoreMergesTakesWholeWords) {
  Json model = Model({{".", 0}, {":", 1}, {".:", 2}, {".:.:", 3}}, {". :"});
  EXPECT_THAT(Encode(Bpe(model), ".:.:"), ElementsAre(2, 2));
  model["ignore_merges"] = true;
  EXPECT_THAT(Encode(Bpe(model), ".:.:"), ElementsAre(3));
  EXPECT_THAT(Encode(Bpe(model), ".:."), ElementsAre(2, 0));
}

TEST(Bpe, SubwordPrefixAndWordSuffix) {
  Json model =
      Model({{"a", 0}, {"##b", 1}, {"##c", 2}, {"ab", 3}, {"abc", 4}}, {"a ##b", "ab ##c"});
  model["continuing_subword_prefix"] = "##";
  EXPECT_THAT(Encode(Bpe(model), "ab"), ElementsAre(3));
  EXPECT_THAT(Encode(Bpe(model), "abc"), ElementsAre(4));
  EXPECT_THAT(Encode(Bpe(model), "acb"), ElementsAre(0, 2, 1));
  model["merges"] = {"a a"};
  EXPECT_ERROR(Bpe(model), "want a token that begins with \"##\"");
  Json suffixed = Model({{"a", 0}, {"b</w>", 1}, {"ab</w>", 2}}, {"a b</w>"});
  suffixed["end_of_word_suffix"] = "</w>";
  EXPECT_THAT(Encode(Bpe(suffixed), "ab"), ElementsAre(2));
  EXPECT_THAT(Encode(Bpe(suffixed), "aab"), ElementsAre(0, 2));
}

TEST(Bpe, TokensBothWays) {
  const Bpe bpe(Model({{"a", 0}, {"b", 5}}));
  EXPECT_EQ(bpe.TokenToId("b"), 5);
  EXPECT_EQ(bpe.TokenToId("c"), std::nullopt);
  EXPECT_EQ(*bpe.IdToToken(5), "b");
  EXPECT_EQ(bpe.IdToToken(3), nullptr);
  EXPECT_EQ(bpe.IdToToken(-1), nullptr);
  EXPECT_EQ(bpe.IdToToken(6), nullptr);
  EXPECT_EQ(bpe.id_limit(), 6);
}

TEST(Bpe, Errors) {
  EXPECT_ERROR(Bpe(Json::parse(R"({"type":"Unigram"})")),
               "[tokenizer] model: got type \"Unigram\", want BPE");
  EXPECT_ERROR(Bpe(Json::parse("7")), "model: got number, want an object");
  EXPECT_ERROR(Bpe(Json::parse(R"({"type":"BPE"})")), "field \"vocab\" is missing");
  EXPECT_ERROR(Bpe(Model(Json::array())), "\"vocab\": got array, want an object");
  EXPECT_ERROR(Bpe(Model({{"a", -1}})),
               "model vocab: a: got -1, want an integer from 0 to 16777215");
  EXPECT_ERROR(Bpe(Model({{"a", 1e9}})), "got 1000000000.0");
  EXPECT_ERROR(Bpe(Model({{"a", 16777216}})), "got 16777216");
  EXPECT_ERROR(Bpe(Model({{"a", UINT64_MAX}})), "got 18446744073709551615");
  EXPECT_ERROR(Bpe(Model({{"a", "x"}})), "got string");
  EXPECT_ERROR(Bpe(Model({{"a", 3}, {"b", 3}})), "want one token for each id");
  EXPECT_ERROR(Bpe(Model({{"a", 0}}, {"a b"})), "model merges, entry 0: got token \"b\"");
  EXPECT_ERROR(Bpe(Model({{"a", 0}, {"b", 1}}, {"a b"})), "got token \"ab\"");
  EXPECT_ERROR(Bpe(Model({{"a", 0}}, {"a"})), "want two tokens with a space between");
  EXPECT_ERROR(Bpe(Model({{"a", 0}}, {"a a a"})), "want two tokens with a space between");
  EXPECT_ERROR(Bpe(Model({{"a", 0}}, Json::parse(R"([["a"]])"))), "want \"left right\"");
  EXPECT_ERROR(Bpe(Model({{"a", 0}}, Json::parse("[7]"))), "got number");
  EXPECT_ERROR(Bpe(Model({{"a", 0}}, Json::parse(R"({"a":1})"))), "got object, want an array");
  Json model = Model({{"a", 0}});
  model["dropout"] = 0.1;
  EXPECT_ERROR(Bpe(model), "dropout: got 0.1");
  model["dropout"] = 0;
  EXPECT_THAT(Encode(Bpe(model), "a"), ElementsAre(0));
}

// Compares random merges over a few letters with the definition: merge the pair of lowest rank,
// leftmost first, one at a time. With more letters most pairs of letters are in no token, so that
// long words fall into parts.
TEST(Bpe, SameAsTheDefinition) {
  const std::vector<std::string> alphabet = {"a", "b", "é", "▁", "中", "f"};
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    const size_t letters = 2 + random() % (alphabet.size() - 1);
    std::vector<std::string> tokens(alphabet.begin(), alphabet.begin() + letters);
    Json vocab = Json::object();
    for (const std::string& token : tokens) vocab[token] = vocab.size();
    Json merges = Json::array();
    std::map<std::pair<std::string, std::string>, int> ranks;
    while (tokens.size() < 15) {
      const std::string left = tokens[random() % tokens.size()];
      const std::string right = tokens[random() % tokens.size()];
      if (left.size() + right.size() > 9 || ranks.contains({left, right})) continue;
      ranks[{left, right}] = static_cast<int>(ranks.size());
      merges.push_back({left, right});
      if (!vocab.contains(left + right)) {
        vocab[left + right] = tokens.size();
        tokens.push_back(left + right);
      }
    }
    const Bpe bpe(Model(vocab, merges));
    for (int word = 0; word < 20; ++word) {
      std::vector<std::string> parts(word == 0 ? 50 + random() % 100 : random() % 30);
      std::string text;
      for (std::string& part : parts) text += part = alphabet[random() % letters];
      while (true) {
        int best = INT32_MAX;
        size_t at = 0;
        for (size_t i = 0; i + 1 < parts.size(); ++i) {
          const auto it = ranks.find({parts[i], parts[i + 1]});
          if (it != ranks.end() && it->second < best) best = it->second, at = i;
        }
        if (best == INT32_MAX) break;
        parts[at] += parts[at + 1];
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
      }
      std::vector<int32_t> want;
      for (const std::string& part : parts) want.push_back(vocab[part].get<int32_t>());
      ASSERT_EQ(Encode(bpe, text), want) << text << " with " << merges.dump();
    }
  }
}

TEST(Bpe, LongWordIsNotQuadratic) {
  const Bpe bpe(Model({{"a", 0}, {"aa", 1}, {"aaaa", 2}}, {"a a", "aa aa"}));
  const std::clock_t start = std::clock();  // processor time, whatever else the machine does
  EXPECT_EQ(Encode(bpe, std::string(1'000'000, 'a')).size(), 250'000u);
  // Merges with the whole text after them, once to its left and once to its right.
  const Bpe chain(Model({{"a", 0}, {"b", 1}, {"ab", 2}, {"aab", 3}, {"ba", 4}, {"baa", 5}},
                        {"a b", "a ab", "b a", "ba a"}));
  EXPECT_EQ(Encode(chain, std::string(100'000, 'a') + 'b').size(), 99'999u);
  EXPECT_EQ(Encode(chain, 'b' + std::string(100'000, 'a')).size(), 99'999u);
  EXPECT_LT(std::clock() - start, 20 * CLOCKS_PER_SEC);
}

// The characters of unknown tokens and byte tokens in a word of several parts.
TEST(Bpe, PartsOfWordsWithUnknownCharacters) {
  Json model =
      Model({{"<unk>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}, {"<0xC3>", 4}, {"<0xA9>", 5}}, {"a b"});
  model["unk_token"] = "<unk>";
  model["byte_fallback"] = true;
  model["fuse_unk"] = true;
  const Bpe bpe(model);
  std::string word;
  std::vector<int32_t> want;
  for (int i = 0; i < 40; ++i) {
    word += "abéxya";
    want.insert(want.end(), {3, 4, 5, 0, 1});
  }
  EXPECT_EQ(Encode(bpe, word), want);
}

TEST(Bpe, ErrorsQuoteTheBeginningOfLongTokens) {
  const std::string huge(1'000'000, 'x');
  const auto length = [](const Json& model) {
    try {
      const Bpe bpe(model);
    } catch (const Error& error) {
      return std::string_view(error.what()).size();
    }
    return size_t{0};
  };
  Json vocab = {{"a", 0}};
  vocab[huge] = 0;
  for (const Json& model : {Model(vocab), Model({{huge, -1}}), Model({{"a", 0}}, {huge}),
                            Model({{"a", 0}}, {huge + " a"}), Json({{"type", huge}})}) {
    const size_t bytes = length(model);
    EXPECT_GT(bytes, 0u);
    EXPECT_LT(bytes, 400u);
  }
}

TEST(Bpe, ThreadsShareTheCache) {
  const Bpe bpe(kUnrelated);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5000; ++i)
        wrong[t] += Encode(bpe, i % 2 ? "unrelated" : "tared").size() != (i % 2 ? 1u : 4u);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

}  // namespace
}  // namespace sinter::text

// Generation by a whole model on the device: choice of tokens, ends, and the session's sequence
// afterwards.

#include "generate/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "support/device.h"
#include "support/model_builder.h"

namespace sinter::generate {
namespace {

using support::ModelSpec;
using ::testing::HasSubstr;

// Returns a model without an end token, so that texts are as long as asked for.
const std::shared_ptr<engine::Model>& EndlessModel() {
  static const std::shared_ptr<engine::Model> model = [] {
    const support::TempFolder folder;
    ModelSpec spec = support::ModelNamed("qwen3_f32");
    spec.eos = {};
    support::WriteModelFolder(spec, folder.path());
    return engine::Model::Load(folder.path(), support::SharedDevice());
  }();
  return model;
}

text::Tokenizer TestTokenizer() {
  const support::TempFolder folder;
  support::WriteModelFolder(support::ModelNamed("qwen3_f32"), folder.path());
  return text::Tokenizer::FromFile(folder.path() / "tokenizer.json");
}

const std::vector<int32_t>& Prompt() {
  static const std::vector<int32_t> prompt = support::RandomTokens(18, 6);
  return prompt;
}

Generator NewGenerator(int64_t max_length = 64) {
  return {std::make_shared<engine::Sequence>(
              EndlessModel(), engine::SequenceOptions{.max_length = max_length, .chunk = 16}),
          TestTokenizer()};
}

Generation Generated(const GenerateOptions& options, int64_t max_length = 64) {
  return NewGenerator(max_length).Run(Prompt(), options, {});
}

std::string TextOf(const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) {
    if (token < 126) text += support::TokenText(token);
  }
  return text;
}

int32_t Argmax(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

TEST(Generator, GreedyIsTheArgmaxOfTheLogits) {
  Generator generator = NewGenerator();
  std::string streamed;
  const Generation result =
      generator.Run(Prompt(), {.max_new_tokens = 20}, [&](std::string_view text) {
        EXPECT_FALSE(text.empty());
        streamed += text;
        return true;
      });
  ASSERT_EQ(result.tokens.size(), 20u);
  EXPECT_EQ(result.reason, FinishReason::kMaxNewTokens);
  EXPECT_EQ(result.prompt_tokens, 18);
  EXPECT_GT(result.decode_tokens_per_second(), 0);
  EXPECT_EQ(result.text, TextOf(result.tokens));
  EXPECT_EQ(streamed, result.text);

  engine::Sequence chain(EndlessModel(), {.max_length = 64, .chunk = 16});
  chain.Append(Prompt());
  for (const int32_t token : result.tokens) {
    ASSERT_EQ(token, Argmax(chain.Logits()));
    chain.Append(std::vector<int32_t>{token});
  }
}

TEST(Generator, GoesOnWhereItStopped) {
  const Generation whole = Generated({.max_new_tokens = 12});
  Generator generator = NewGenerator();
  const Generation first = generator.Run(Prompt(), {.max_new_tokens = 5}, {});
  // Without new tokens, only the token that was chosen last runs.
  const Generation second = generator.Run({}, {.max_new_tokens = 7}, {});
  std::vector<int32_t> both = first.tokens;
  both.insert(both.end(), second.tokens.begin(), second.tokens.end());
  EXPECT_EQ(both, whole.tokens);

  // As in a conversation, the next answer sees all tokens before it.
  const std::vector<int32_t> question = support::RandomTokens(6, 9);
  const Generation answer = generator.Run(question, {.max_new_tokens = 5}, {});
  std::vector<int32_t> sequence = Prompt();
  sequence.insert(sequence.end(), both.begin(), both.end());
  sequence.insert(sequence.end(), question.begin(), question.end());
  Generator fresh = NewGenerator();
  EXPECT_EQ(fresh.Run(sequence, {.max_new_tokens = 5}, {}).tokens, answer.tokens);
  EXPECT_EQ(generator.session().length(), static_cast<int64_t>(sequence.size()) + 5);
}

TEST(Generator, StopsAtAStringAcrossTokens) {
  const Generation whole = Generated({.max_new_tokens = 20});
  // The stop string begins with the last character of one token's text and ends two characters into
  // the next.
  const size_t border = TextOf({whole.tokens.begin(), whole.tokens.begin() + 9}).size();
  const std::string stop = whole.text.substr(border - 1, 3);
  Generator generator = NewGenerator();
  std::string streamed;
  const Generation stopped = generator.Run(
      Prompt(), {.max_new_tokens = 20, .stop = {"not there", stop}}, [&](std::string_view text) {
        streamed += text;
        return true;
      });
  EXPECT_EQ(stopped.reason, FinishReason::kStopString);
  EXPECT_EQ(stopped.text, whole.text.substr(0, whole.text.find(stop)));
  EXPECT_EQ(streamed, stopped.text);
  EXPECT_LT(stopped.tokens.size(), whole.tokens.size());
  EXPECT_TRUE(std::equal(stopped.tokens.begin(), stopped.tokens.end(), whole.tokens.begin()));
  EXPECT_EQ(generator.session().length(), static_cast<int64_t>(18 + stopped.tokens.size()));
}

TEST(Generator, EndsAtAnyEndToken) {
  const std::vector<int32_t> whole = Generated({.max_new_tokens = 20}).tokens;
  const auto ends_at = [&](std::vector<int64_t> eos) {
    const auto is_end = [&](int32_t token) {
      return std::find(eos.begin(), eos.end(), token) != eos.end();
    };
    const auto end = std::find_if(whole.begin(), whole.end(), is_end) + 1;
    const Generation result = Generated({.max_new_tokens = 20, .eos_token_ids = eos});
    EXPECT_EQ(result.tokens, std::vector<int32_t>(whole.begin(), end));
    EXPECT_EQ(result.reason, FinishReason::kEndToken);
    // The end token is not part of the text.
    EXPECT_EQ(result.text, TextOf({whole.begin(), end - 1}));
  };
  ends_at({whole[7]});
  ends_at({whole[11], whole[4]});
  // These are more end tokens than the options on the device hold.
  std::vector<int64_t> many;
  for (int64_t id = 0; many.size() < 20; ++id) {
    if (std::find(whole.begin(), whole.end(), id) == whole.end()) many.push_back(id);
  }
  many.push_back(whole[5]);
  ends_at(many);
}

TEST(Generator, TheConfigHasTheEndTokensAndDefaults) {
  const std::vector<int32_t> whole = Generated({.max_new_tokens = 20}).tokens;
  const support::TempFolder folder;
  ModelSpec spec = support::ModelNamed("qwen3_f32");
  spec.eos = {whole[3], whole[8]};
  spec.search = R"("do_sample": true, "top_k": 1, "max_length": 40)";
  support::WriteModelFolder(spec, folder.path());
  const auto session = std::make_shared<engine::Sequence>(
      engine::Model::Load(folder.path(), support::SharedDevice()),
      engine::SequenceOptions{.chunk = 16});
  EXPECT_EQ(session->max_length(), 40);
  Generator generator(session, TestTokenizer());
  const Generation result = generator.Run(Prompt(), {}, {});
  EXPECT_EQ(result.reason, FinishReason::kEndToken);
  const auto end = std::find_if(whole.begin(), whole.end(), [&](int32_t token) {
    return token == whole[3] || token == whole[8];
  });
  EXPECT_EQ(result.tokens, std::vector<int32_t>(whole.begin(), end + 1));
}

TEST(Generator, EndsAtTheMaximumLength) {
  Generator generator = NewGenerator(24);
  const Generation result = generator.Run(Prompt(), {}, {});
  // A prompt of 18 tokens leaves room for 6 new ones, and one of 24 for none.
  EXPECT_EQ(result.tokens.size(), 6u);
  EXPECT_EQ(result.reason, FinishReason::kMaxLength);
  EXPECT_EQ(result.tokens, Generated({.max_new_tokens = 6}).tokens);
  EXPECT_EQ(Generated({.max_new_tokens = 6}, 24).reason, FinishReason::kMaxLength);
  const Generation none = NewGenerator(18).Run(Prompt(), {.max_new_tokens = 3}, {});
  EXPECT_TRUE(none.tokens.empty() && none.text.empty());
  EXPECT_EQ(none.reason, FinishReason::kMaxLength);
  const Generation more = generator.Run({}, {}, {});
  EXPECT_TRUE(more.tokens.empty());
  EXPECT_EQ(more.reason, FinishReason::kMaxLength);
}

TEST(Generator, TheSeedDecides) {
  GenerateOptions options;
  options.do_sample = true;
  options.temperature = 1.5;
  options.top_k = 0;
  options.max_new_tokens = 16;
  std::set<std::vector<int32_t>> texts;
  for (uint32_t seed = 0; seed < 4; ++seed) {
    options.seed = seed;
    const std::vector<int32_t> tokens = Generated(options).tokens;
    EXPECT_EQ(Generated(options).tokens, tokens);
    texts.insert(tokens);
  }
  EXPECT_EQ(texts.size(), 4u);
  // Filtered draws, from the five likeliest of 128 tokens, repeat with the seed too.
  options.seed = 0;
  options.top_k = 5;
  options.top_p = 0.9;
  options.min_p = 0.01;
  EXPECT_EQ(Generated(options).tokens, Generated(options).tokens);
}

TEST(Generator, SamplingFromOneTokenIsGreedy) {
  const std::vector<int32_t> greedy = Generated({.max_new_tokens = 16}).tokens;
  for (uint32_t seed = 1; seed < 3; ++seed) {
    EXPECT_EQ(Generated({.do_sample = true, .top_k = 1, .seed = seed, .max_new_tokens = 16}).tokens,
              greedy);
    EXPECT_EQ(
        Generated({.do_sample = true, .top_k = 0, .min_p = 1.0, .seed = seed, .max_new_tokens = 16})
            .tokens,
        greedy);
  }
  EXPECT_EQ(
      Generated({.do_sample = true, .temperature = 0, .seed = 5, .max_new_tokens = 16}).tokens,
      greedy);
}

// A very large penalty lets no token come twice, and none of the prompt come again.
TEST(Generator, RepetitionCanBeForbidden) {
  const Generation result = Generated({.repetition_penalty = 1000.0, .max_new_tokens = 30});
  std::set<int32_t> seen(Prompt().begin(), Prompt().end());
  size_t fresh = 0;
  for (const int32_t token : result.tokens) fresh += seen.insert(token).second;
  // A factor hardly changes logits near zero, so a few tokens may repeat.
  EXPECT_GE(fresh, 25u);
}

TEST(Generator, CanBeCancelledAndGoOn) {
  const Generation whole = Generated({.max_new_tokens = 12});
  Generator generator = NewGenerator();
  int calls = 0;
  const Generation cut = generator.Run(Prompt(), {.max_new_tokens = 12},
                                       [&](std::string_view) { return ++calls < 4; });
  EXPECT_EQ(cut.reason, FinishReason::kCancelled);
  EXPECT_EQ(calls, 4);
  EXPECT_TRUE(std::equal(cut.tokens.begin(), cut.tokens.end(), whole.tokens.begin()));
  const auto left = static_cast<int64_t>(12 - cut.tokens.size());
  const Generation rest = generator.Run({}, {.max_new_tokens = left}, {});
  std::vector<int32_t> both = cut.tokens;
  both.insert(both.end(), rest.tokens.begin(), rest.tokens.end());
  EXPECT_EQ(both, whole.tokens);
}

TEST(Generator, AnExceptionFromTheReaderLeavesThePrompt) {
  Generator generator = NewGenerator();
  EXPECT_THROW(generator.Run(Prompt(), {.max_new_tokens = 12},
                             [](std::string_view) -> bool { throw Error("test", "broken pipe"); }),
               Error);
  EXPECT_EQ(generator.session().length(), 18);
  EXPECT_EQ(generator.Run({}, {.max_new_tokens = 12}, {}).tokens,
            Generated({.max_new_tokens = 12}).tokens);
}

TEST(ChooseBy, RefusesWhatIsOutOfRange) {
  const auto error_of = [](const GenerateOptions& options) -> std::string {
    try {
      Generated(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(error_of({.temperature = -0.5}),
              HasSubstr("[generate] temperature: got -0.5, want 0 to"));
  EXPECT_THAT(error_of({.top_k = -1}), HasSubstr("top_k: got -1"));
  EXPECT_THAT(error_of({.top_p = 1.5}), HasSubstr("top_p: got 1.5, want 0 to 1"));
  EXPECT_THAT(error_of({.min_p = std::nan("")}), HasSubstr("min_p: got nan"));
  EXPECT_THAT(error_of({.repetition_penalty = 0.0}), HasSubstr("repetition_penalty: got 0"));
  EXPECT_THAT(error_of({.max_new_tokens = -1}), HasSubstr("max_new_tokens: got -1"));
}

TEST(ChooseBy, OptionsStandBeforeDefaults) {
  model::GenaiConfig config;
  config.search.top_k = 7;
  config.search.temperature = 0.5;
  config.eos_token_ids = {3};
  EXPECT_TRUE(ChooseBy(config, {}).greedy);
  EXPECT_FALSE(ChooseBy(config, {.temperature = 0.8}).greedy);
  EXPECT_TRUE(ChooseBy(config, {.do_sample = false, .temperature = 0.8}).greedy);
  config.search.do_sample = true;
  const engine::TokenChoice choice = ChooseBy(config, {.top_p = 0.25, .seed = 9});
  EXPECT_FALSE(choice.greedy);
  EXPECT_EQ(choice.seed, 9u);
  EXPECT_EQ(choice.options.top_k, 7u);
  EXPECT_EQ(choice.options.temperature, 0.5f);
  EXPECT_EQ(choice.options.top_p, 0.25f);
  ASSERT_EQ(choice.options.eos_count, 1u);
  EXPECT_EQ(choice.options.eos_tokens[0], 3u);
  EXPECT_EQ(ChooseBy(config, {.eos_token_ids = {5, 6}}).options.eos_count, 2u);
}

TEST(FinishReason, HasNames) {
  EXPECT_EQ(FinishReasonName(FinishReason::kEndToken), "end_token");
  EXPECT_EQ(FinishReasonName(FinishReason::kStopString), "stop_string");
  EXPECT_EQ(FinishReasonName(FinishReason::kMaxNewTokens), "max_new_tokens");
  EXPECT_EQ(FinishReasonName(FinishReason::kMaxLength), "max_length");
  EXPECT_EQ(FinishReasonName(FinishReason::kCancelled), "cancelled");
}

}  // namespace
}  // namespace sinter::generate

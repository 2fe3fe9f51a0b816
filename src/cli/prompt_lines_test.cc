#include "cli/prompt_lines.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace sinter::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::string ProblemOf(std::string_view text) {
  const PromptLine line = ReadPromptLine(text, 3);
  return line.failure ? line.failure->message : "";
}

TEST(PromptLine, HasPromptAndOptions) {
  const PromptLine line = ReadPromptLine(
      R"({"id": "a", "prompt": "Hi", "system": "Be brief.", "max_tokens": 5, "min_tokens": 2,
          "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1,
          "presence_penalty": -1, "frequency_penalty": 0.25, "seed": 4294967295,
          "stop": ["x", "y"], "logit_bias": {"17": -100}, "chat_template_kwargs": {"think": false}})",
      3);
  ASSERT_FALSE(line.failure) << line.failure->message;
  EXPECT_EQ(line.number, 3);
  EXPECT_EQ(line.id, "a");
  EXPECT_EQ(line.prompt, "Hi");
  EXPECT_FALSE(line.raw);
  EXPECT_EQ(line.system, "Be brief.");
  EXPECT_EQ(line.max_tokens, 5);
  EXPECT_EQ(line.min_tokens, 2);
  EXPECT_EQ(line.temperature, 0.5);
  EXPECT_EQ(line.top_p, 0.9);
  EXPECT_EQ(line.top_k, 40);
  EXPECT_EQ(line.min_p, 0.1);
  EXPECT_EQ(line.repetition_penalty, 1.1);
  EXPECT_EQ(line.presence_penalty, -1);
  EXPECT_EQ(line.frequency_penalty, 0.25);
  EXPECT_EQ(line.seed, 4294967295u);
  EXPECT_THAT(*line.stop, ElementsAre("x", "y"));
  EXPECT_THAT(line.logit_bias, ElementsAre(Pair(17, -100)));
  EXPECT_THAT(line.arguments, ElementsAre(Pair("think", "false")));
}

TEST(PromptLine, HasMessagesOrTokens) {
  const PromptLine chat = ReadPromptLine(
      R"({"id": 7, "messages": [{"role": "user", "content": "Hi"}], "tools": [{"x": 1}],
          "max_completion_tokens": 9, "stop": "x", "temperature": null})",
      1);
  ASSERT_FALSE(chat.failure) << chat.failure->message;
  EXPECT_EQ(chat.id, 7);
  EXPECT_EQ(chat.messages.dump(), R"([{"role":"user","content":"Hi"}])") << "keys keep their order";
  EXPECT_EQ(chat.tools.dump(), R"([{"x":1}])");
  EXPECT_EQ(chat.max_tokens, 9);
  EXPECT_THAT(*chat.stop, ElementsAre("x"));
  EXPECT_FALSE(chat.temperature);
  EXPECT_FALSE(chat.prompt);
  EXPECT_THAT(ReadPromptLine(R"({"prompt": [1, 0, 5]})", 1).tokens, ElementsAre(1, 0, 5));
}

TEST(PromptLine, MayBeOneOfOpenAi) {
  const PromptLine chat = ReadPromptLine(
      R"({"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": {
          "model": "any", "n": 1, "stream": false, "response_format": {"type": "text"},
          "user": "me", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}})",
      1);
  ASSERT_FALSE(chat.failure) << chat.failure->message;
  EXPECT_EQ(chat.id, "r-1");
  EXPECT_EQ(chat.max_tokens, 4);
  EXPECT_FALSE(chat.raw);
  const PromptLine text = ReadPromptLine(
      R"({"custom_id": "r-2", "url": "/v1/completions", "body": {"prompt": "Once"}})", 1);
  EXPECT_EQ(text.prompt, "Once");
  EXPECT_TRUE(text.raw) << "completions have no template";

  EXPECT_THAT(ProblemOf(R"({"url": "/v1/completions", "body": {"messages": [{}]}})"),
              HasSubstr(R"(line 3: url: got "/v1/completions", want "/v1/chat/completions")"));
  EXPECT_THAT(ProblemOf(R"({"url": "/v1/embeddings", "body": {"input": "x"}})"),
              HasSubstr(R"(url: got "/v1/embeddings", want "/v1/chat/completions" or)"));
  EXPECT_THAT(ProblemOf(R"({"method": "GET", "body": {"prompt": "x"}})"),
              HasSubstr(R"(method: got "GET", want "POST")"));
  EXPECT_THAT(ProblemOf(R"({"body": {"prompt": "x", "seed": -1}})"),
              HasSubstr("line 3: body: seed: got -1, want a whole number from 0 to 4294967295"));
  EXPECT_THAT(ProblemOf(R"({"prompt": "x", "body": {"prompt": "x"}})"), HasSubstr("\"prompt\""));
  EXPECT_THAT(ProblemOf(R"({"body": 3})"), HasSubstr("line 3: body: got 3, want an object"));
}

TEST(PromptLine, NamesWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"{oops", "line 3, column 2: got"},
      {"[1]", "line 3: got [1], want an object"},
      {R"({"id": "a"})", "line 3: prompt: got none, want one, or messages"},
      {R"({"prompt": "x", "messages": []})", "prompt: got messages, too"},
      {R"({"messages": []})", "messages: got [], want an array of at least one"},
      {R"({"prompt": ["a", "b"]})", "prompt: got \"a\", want token ids (one prompt in each line)"},
      {R"({"prompt": 3})", "prompt: got 3, want a string"},
      {R"({"prompt": "x", "id": 1.5})", "id: got 1.5, want a string or a whole number"},
      {R"({"prompt": "x", "id": 1, "custom_id": 1})", "custom_id: got id, too"},
      {R"({"prompt": "x", "max_tokens": 0})", "max_tokens: got 0, want a whole number from 1"},
      {R"({"prompt": "x", "max_tokens": 1, "max_new_tokens": 1})", "got max_tokens, too"},
      {R"({"prompt": "x", "temperature": "hot"})",
       "temperature: got \"hot\", want a number from 0"},
      {R"({"prompt": "x", "top_p": 1.1})", "top_p: got 1.1, want a number from 0 to 1"},
      {R"({"prompt": "x", "stop": [1]})", "stop: got 1, want a string that is not empty"},
      {R"({"prompt": "x", "stop": ""})", "stop: got \"\", want a string that is not empty"},
      {R"({"prompt": "x", "logit_bias": {"a": 1}})", "logit_bias: got \"a\", want token ids"},
      {R"({"prompt": "x", "logit_bias": {"1": 101}})", "logit_bias: got 101, want numbers from"},
      {R"({"prompt": "x", "tools": []})", "tools: got a prompt, want messages"},
      {R"({"messages": [{}], "system": "x"})", "system: got no text as prompt"},
      {R"({"prompt": "x", "chat_template_kwargs": {"tools": 1}})", "chat_template_kwargs: got"},
      {R"({"prompt": "x", "n": 2})", "n: got 2, want 1: each line has one answer"},
      {R"({"prompt": "x", "logprobs": true})", "logprobs: got true, want false"},
      {R"({"messages": [{}], "response_format": {"type": "json_object"}})", "response_format: got"},
      {R"({"prompt": "x", "max_token": 2})",
       "field: got \"max_token\", want one that --batch knows; did you mean 'max_tokens'?"},
  };
  for (const auto& [text, want] : cases) EXPECT_THAT(ProblemOf(text), HasSubstr(want)) << text;
  EXPECT_EQ(ReadPromptLine(R"({"id": "a", "prompt": 3})", 1).id, "a") << "for the error's line";
}

TEST(PromptLines, AreNumberedAndHaveIdsOfTheirOwn) {
  const std::vector<PromptLine> lines = ReadPromptLines(
      "\xEF\xBB\xBF{\"id\": 1, \"prompt\": \"a\"}\r\n \n{\"id\": \"1\", \"prompt\": \"b\"}\n"
      "{\"prompt\": \"c\"}\n{\"prompt\": \"d\"}\n{\"id\": 1, \"prompt\": \"e\"}");
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[1].number, 3);
  for (size_t i = 0; i < 4; ++i) EXPECT_FALSE(lines[i].failure) << i;
  ASSERT_TRUE(lines[4].failure);
  EXPECT_EQ(lines[4].failure->message, "line 6: id: got 1, which line 1 has, want another");
  EXPECT_TRUE(ReadPromptLines("\n \r\n").empty());
}

TEST(EarlierAnswers, AreThoseOfWholeLines) {
  const std::string whole =
      "{\"id\": \"a\", \"text\": \"\"}\n{\"id\": \"b\", \"error\": {}}\n{\"id\": 3, \"error\": "
      "{}}\n"
      "{\"id\": 3, \"text\": \"x\"}\n{\"id\": 3, \"error\": {}}\n{\"id\": null, \"error\": {}}\n";
  const EarlierAnswers answers = ReadAnswers(whole + R"({"id": "d", "te)", "file");
  EXPECT_THAT(answers.answered, ElementsAre("\"a\"", "3"));
  EXPECT_EQ(answers.whole_bytes, whole.size());
  EXPECT_EQ(ReadAnswers("", "file").whole_bytes, 0u);
  for (const char* other : {"{\"id\": 1}\n", "[]\n", "text\n", "{\"prompt\": \"x\"}\n"}) {
    try {
      ReadAnswers(std::string("\n") + other, "file");
      ADD_FAILURE() << other;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("file: line 2"));
    }
  }
}

}  // namespace
}  // namespace sinter::cli

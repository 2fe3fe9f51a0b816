// Conversations on a small random model: the tokens that run in each turn, and the state after an
// interruption, an error or a reset.

#include "generate/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "support/device.h"
#include "support/model_builder.h"

namespace sinter::generate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Begins every message with its role and ends it with the special token.
constexpr char kTemplate[] =
    "{% for m in messages %}{{m.role}}:{{m.content}}<|end|>{% endfor %}assistant:";
// Leaves out all answers but the last, as templates of reasoning models do with earlier thoughts.
constexpr char kForgetfulTemplate[] =
    "{% for m in messages %}{% if m.role != 'assistant' or loop.index0 + 2 >= messages|length %}"
    "{{m.role}}:{{m.content}}<|end|>{% endif %}{% endfor %}assistant:";
constexpr char kRefusingTemplate[] =
    "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('refused') }}{% endif %}"
    "{{m.role}}:{{m.content}}<|end|>{% endfor %}assistant:";

struct Parts {
  std::shared_ptr<engine::Model> model;
  text::Tokenizer tokenizer;
};

// Returns a model without an end token, so that every answer has as many tokens as asked for.
const Parts& EndlessModel() {
  static const Parts parts = [] {
    const support::TempFolder folder;
    support::ModelSpec spec = support::ModelNamed("qwen3_f32");
    spec.eos = {};
    support::WriteModelFolder(spec, folder.path());
    return Parts{engine::Model::Load(folder.path(), support::SharedDevice()),
                 text::Tokenizer::FromFile(folder.path() / "tokenizer.json")};
  }();
  return parts;
}

std::shared_ptr<engine::Sequence> NewSession(int64_t max_length = 96) {
  return std::make_shared<engine::Sequence>(
      EndlessModel().model, engine::SequenceOptions{.max_length = max_length, .chunk = 16});
}

text::ChatTemplate TemplateOf(std::string_view source) {
  return text::ChatTemplate::FromSource(source, {{"eos_token", "<|end|>"}});
}

Conversation NewConversation(const std::shared_ptr<engine::Sequence>& session,
                             std::string_view source = kTemplate, Messages beginning = {}) {
  return {session, EndlessModel().tokenizer, TemplateOf(source), std::move(beginning)};
}

// Returns the prompt of these messages, of the user and the assistant by turns.
std::vector<int32_t> PromptOf(const std::vector<std::string>& contents,
                              std::string_view source = kTemplate) {
  Messages messages;
  for (const std::string& content : contents) {
    messages.push_back(MakeMessage(messages.size() % 2 == 0 ? "user" : "assistant", content));
  }
  return EncodeMessages(EndlessModel().tokenizer, TemplateOf(source), messages);
}

// Returns the answer of an empty session.
std::vector<int32_t> FreshAnswer(const std::vector<int32_t>& prompt, int64_t new_tokens) {
  Generator generator(NewSession(), EndlessModel().tokenizer);
  return generator.Run(prompt, {.max_new_tokens = new_tokens}, {}).tokens;
}

int64_t CommonPrefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

std::vector<int32_t> Concatenated(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<std::string> Contents(const Conversation& conversation) {
  std::vector<std::string> contents;
  for (const std::string& text : conversation.messages()) {
    const auto message = nlohmann::json::parse(text);
    contents.push_back(message["role"].get<std::string>() + ":" +
                       message["content"].get<std::string>());
  }
  return contents;
}

TEST(Conversation, RunsOnlyWhatTheSessionLacks) {
  const auto session = NewSession();
  Conversation conversation = NewConversation(session);
  const std::vector<int32_t> first_prompt = PromptOf({"hello"});
  std::string streamed;
  const Answer first = conversation.Ask("hello", {.max_new_tokens = 6}, [&](std::string_view text) {
    streamed += text;
    return true;
  });
  const auto first_length = static_cast<int64_t>(first_prompt.size());
  EXPECT_EQ(first.conversation_tokens, first_length);
  EXPECT_EQ(first.generation.prompt_tokens, first_length);
  EXPECT_EQ(first.generation.tokens, FreshAnswer(first_prompt, 6));
  EXPECT_EQ(streamed, first.generation.text);

  const std::vector<int32_t> second_prompt = PromptOf({"hello", first.generation.text, "more"});
  const Answer second = conversation.Ask("more", {.max_new_tokens = 6}, {});
  const int64_t common =
      CommonPrefix(Concatenated(first_prompt, first.generation.tokens), second_prompt);
  // The whole first prompt is in the cache, whatever the answer's text encodes to.
  EXPECT_GE(common, first_length);
  EXPECT_EQ(second.conversation_tokens, static_cast<int64_t>(second_prompt.size()));
  EXPECT_EQ(second.generation.prompt_tokens, second.conversation_tokens - common);
  EXPECT_EQ(second.generation.tokens, FreshAnswer(second_prompt, 6));
  EXPECT_EQ(session->length(), second.conversation_tokens + 6);
  EXPECT_THAT(Contents(conversation),
              ElementsAre("user:hello", "assistant:" + first.generation.text, "user:more",
                          "assistant:" + second.generation.text));
}

TEST(Conversation, AnInterruptedAnswerStays) {
  Conversation conversation = NewConversation(NewSession());
  int calls = 0;
  const Answer cut = conversation.Ask("hello", {.max_new_tokens = 20},
                                      [&](std::string_view) { return ++calls < 3; });
  EXPECT_EQ(cut.generation.reason, FinishReason::kCancelled);
  EXPECT_LT(cut.generation.tokens.size(), 20u);
  EXPECT_THAT(Contents(conversation),
              ElementsAre("user:hello", "assistant:" + cut.generation.text));
  const Answer next = conversation.Ask("more", {.max_new_tokens = 6}, {});
  EXPECT_LT(next.generation.prompt_tokens, next.conversation_tokens);
  EXPECT_EQ(next.generation.tokens,
            FreshAnswer(PromptOf({"hello", cut.generation.text, "more"}), 6));
}

TEST(Conversation, ATemplateMayRewriteThePast) {
  Conversation conversation = NewConversation(NewSession(), kForgetfulTemplate);
  std::vector<std::string> contents;
  std::vector<int32_t> held;
  for (const char* message : {"one", "two", "three"}) {
    contents.emplace_back(message);
    const std::vector<int32_t> prompt = PromptOf(contents, kForgetfulTemplate);
    const Answer answer = conversation.Ask(message, {.max_new_tokens = 5}, {});
    EXPECT_EQ(answer.conversation_tokens, static_cast<int64_t>(prompt.size()));
    EXPECT_EQ(answer.generation.prompt_tokens,
              answer.conversation_tokens - CommonPrefix(held, prompt));
    EXPECT_EQ(answer.generation.tokens, FreshAnswer(prompt, 5));
    held = Concatenated(prompt, answer.generation.tokens);
    contents.push_back(answer.generation.text);
  }
  // The third prompt has lost the first answer.
  EXPECT_EQ(CommonPrefix(PromptOf({"one"}),
                         PromptOf({"one", "x", "two", "y", "three"}, kForgetfulTemplate)),
            9);
}

TEST(Conversation, TheSamePromptAgainRunsItsLastToken) {
  Conversation conversation = NewConversation(NewSession());
  const Answer first = conversation.Ask("hello", {.max_new_tokens = 6}, {});
  conversation.Reset();
  const Answer again = conversation.Ask("hello", {.max_new_tokens = 6}, {});
  EXPECT_EQ(again.generation.prompt_tokens, 1);
  EXPECT_EQ(again.generation.tokens, first.generation.tokens);
}

TEST(Conversation, AMessageThatIsTooLongLosesNothing) {
  const std::vector<int32_t> prompt = PromptOf({"hello"});
  const auto session = NewSession(static_cast<int64_t>(prompt.size()) + 28);
  Conversation conversation = NewConversation(session);
  const Answer first = conversation.Ask("hello", {.max_new_tokens = 2}, {});
  const int64_t length = session->length();
  const std::string message(60, 'x');
  const auto tokens = static_cast<int64_t>(PromptOf({message}).size());
  try {
    conversation.Ask(message, {}, {});
    FAIL();
  } catch (const ConversationTooLongError& error) {
    EXPECT_EQ(error.tokens(), tokens);
    EXPECT_EQ(error.room(), session->max_length() - 1);
    EXPECT_EQ(std::string(error.what()),
              fmt::format("[generate] message: got {} tokens including the system message, want "
                          "at most {} (the maximum length minus 1 for the answer)",
                          tokens, session->max_length() - 1));
  }
  EXPECT_EQ(session->length(), length);
  EXPECT_THAT(Contents(conversation),
              ElementsAre("user:hello", "assistant:" + first.generation.text));
  const Answer next = conversation.Ask("hi", {.max_new_tokens = 3}, {});
  EXPECT_EQ(next.left_out_turns, 0u);
  EXPECT_LT(next.generation.prompt_tokens, next.conversation_tokens);
  EXPECT_EQ(next.generation.tokens,
            FreshAnswer(PromptOf({"hello", first.generation.text, "hi"}), 3));
}

TEST(Conversation, AFullContextLeavesTheOldestTurnsOut) {
  const Messages system = {MakeMessage("system", "be.brief")};
  Conversation conversation = NewConversation(NewSession(), kTemplate, system);
  std::vector<size_t> notices;
  conversation.OnLeftOut([&](size_t turns) { notices.push_back(turns); });
  size_t left_out = 0;
  for (int turn = 0; turn < 12; ++turn) {
    const Answer answer = conversation.Ask("hello", {.max_new_tokens = 8}, {});
    ASSERT_EQ(answer.generation.tokens.size(), 8u) << "turn " << turn;
    ASSERT_LE(answer.conversation_tokens, 96 - 8);
    if (answer.left_out_turns == left_out) continue;
    // The prompt was then cut to a half, and has all the same the system message and the last turn.
    EXPECT_LE(answer.conversation_tokens, 48);
    Messages seen = WithoutTurns(conversation.messages(), answer.left_out_turns);
    seen.pop_back();
    EXPECT_EQ(seen.front(), system[0]);
    const std::vector<int32_t> prompt =
        EncodeMessages(EndlessModel().tokenizer, TemplateOf(kTemplate), seen);
    EXPECT_EQ(answer.generation.tokens, FreshAnswer(prompt, 8));
    left_out = answer.left_out_turns;
    ASSERT_FALSE(notices.empty());
    EXPECT_EQ(notices.back(), left_out);
  }
  EXPECT_GE(notices.size(), 2u);
  EXPECT_LE(notices.size(), 6u);
  EXPECT_EQ(conversation.messages().size(), 1u + 2 * 12);
}

TEST(Conversation, ALongAnswerTakesTheRoomOfTheOldestTurns) {
  const auto session = NewSession();
  Conversation conversation = NewConversation(session);
  conversation.Ask("hello", {.max_new_tokens = 4}, {});
  conversation.Ask("hello", {.max_new_tokens = 4}, {});
  const Messages before = conversation.messages();
  std::string streamed;
  const Answer answer = conversation.Ask("more", {}, [&](std::string_view text) {
    streamed += text;
    return true;
  });
  const std::vector<int32_t>& tokens = answer.generation.tokens;
  EXPECT_EQ(answer.left_out_turns, 2u);
  EXPECT_EQ(answer.generation.reason, FinishReason::kMaxLength);
  EXPECT_EQ(session->length(), 96);
  // In the end the model has seen the last message only, and as much of the answer as there is room
  // for.
  const std::vector<int32_t> last_prompt = PromptOf({"more"});
  EXPECT_EQ(last_prompt.size() + tokens.size(), 96u);
  // It begins as with all turns, and ends as with the last one only.
  Messages all = before;
  all.push_back(MakeMessage("user", "more"));
  const std::vector<int32_t> first_prompt =
      EncodeMessages(EndlessModel().tokenizer, TemplateOf(kTemplate), all);
  const int64_t at_first = 96 - static_cast<int64_t>(first_prompt.size());
  EXPECT_EQ(std::vector(tokens.begin(), tokens.begin() + at_first),
            FreshAnswer(first_prompt, at_first));
  EXPECT_EQ(FreshAnswer(Concatenated(last_prompt, {tokens.begin(), tokens.end() - 1}), 1)[0],
            tokens.back());
  EXPECT_EQ(streamed, answer.generation.text);
  EXPECT_EQ(streamed, EndlessModel().tokenizer.Decode(tokens, /*skip_special=*/true));
  // The next turn knows what the session holds.
  const Answer next = conversation.Ask("hi", {.max_new_tokens = 3}, {});
  EXPECT_EQ(next.left_out_turns, 3u);
  EXPECT_EQ(next.generation.tokens, FreshAnswer(PromptOf({"hi"}), 3));
}

TEST(Conversation, AnErrorAfterMoreRoomWasMadeLosesNothing) {
  const auto session = NewSession();
  Conversation conversation = NewConversation(session);
  conversation.Ask("hello", {.max_new_tokens = 8}, {});
  conversation.Ask("hello", {.max_new_tokens = 8}, {});
  size_t asked = 0;
  GenerateOptions options;
  // Cancelled and broken off after more tokens than there was room for at first.
  options.cancelled = [&] { return ++asked == 50; };
  const Answer cut = conversation.Ask("more", options, {});
  EXPECT_EQ(cut.generation.reason, FinishReason::kCancelled);
  EXPECT_GT(cut.left_out_turns, 0u);
  conversation.Undo();
  size_t texts = 0;
  EXPECT_THROW(conversation.Ask("more", {},
                                [&](std::string_view) -> bool {
                                  if (++texts == 45) throw Error("test", "broken pipe");
                                  return true;
                                }),
               Error);
  EXPECT_EQ(conversation.messages().size(), 4u);
  conversation.Reset();
  EXPECT_EQ(conversation.Ask("hi", {.max_new_tokens = 3}, {}).generation.tokens,
            FreshAnswer(PromptOf({"hi"}), 3));
}

TEST(Conversation, TakesTurnsBackAndAnswersAgain) {
  Conversation conversation =
      NewConversation(NewSession(), kTemplate, {MakeMessage("system", "be.brief")});
  EXPECT_FALSE(conversation.Undo());
  EXPECT_FALSE(conversation.HasAnswer());
  const Answer first = conversation.Ask("hello", {.max_new_tokens = 4}, {});
  conversation.Ask("more", {.max_new_tokens = 4}, {});
  EXPECT_TRUE(conversation.Undo());
  EXPECT_THAT(Contents(conversation),
              ElementsAre("system:be.brief", "user:hello", "assistant:" + first.generation.text));
  EXPECT_TRUE(conversation.HasAnswer());
  const Answer again = conversation.AnswerAgain({.max_new_tokens = 4}, {});
  EXPECT_EQ(again.generation.tokens, first.generation.tokens);
  const Answer longer = conversation.AnswerAgain({.max_new_tokens = 6}, {});
  EXPECT_EQ(Contents(conversation).back(), "assistant:" + longer.generation.text);
  EXPECT_THROW(conversation.AnswerAgain({.max_new_tokens = -1}, {}), Error);
  EXPECT_EQ(Contents(conversation).back(), "assistant:" + longer.generation.text);
  EXPECT_TRUE(conversation.Undo());
  EXPECT_FALSE(conversation.Undo());
  EXPECT_THAT(Contents(conversation), ElementsAre("system:be.brief"));
}

TEST(Conversation, TheSystemMessageCanChange) {
  Conversation conversation = NewConversation(NewSession());
  EXPECT_EQ(conversation.System(), "");
  const Answer answer = conversation.Ask("hello", {.max_new_tokens = 2}, {});
  conversation.SetSystem("be.brief");
  conversation.SetSystem("be.long");
  EXPECT_EQ(conversation.System(), "be.long");
  EXPECT_THAT(Contents(conversation),
              ElementsAre("system:be.long", "user:hello", "assistant:" + answer.generation.text));
  conversation.Reset();
  EXPECT_THAT(Contents(conversation), ElementsAre("system:be.long"));
  conversation.SetSystem("");
  EXPECT_TRUE(conversation.messages().empty());
  conversation.Replace({MakeMessage("developer", "a"), MakeMessage("user", "b")}, {});
  conversation.Reset();
  EXPECT_THAT(Contents(conversation), ElementsAre("developer:a"));
}

TEST(Conversation, AnAnswerCancelledBeforeItBeginsTakesTheMessageBack) {
  const auto session = NewSession();
  Conversation conversation = NewConversation(session);
  const Answer first = conversation.Ask("hello", {.max_new_tokens = 4}, {});
  const std::string message(24, 'x');  // more than one run of 16 tokens
  int asked = 0;
  const GenerateOptions options = {.max_new_tokens = 4,
                                   .cancelled = [&asked] { return ++asked == 1; }};
  const Answer cut = conversation.Ask(message, options, {});
  EXPECT_EQ(cut.generation.reason, FinishReason::kCancelled);
  EXPECT_TRUE(cut.generation.tokens.empty());
  EXPECT_LT(session->length(), cut.conversation_tokens);
  EXPECT_THAT(Contents(conversation),
              ElementsAre("user:hello", "assistant:" + first.generation.text));
  // What has run of the prompt is of use.
  const Answer next = conversation.Ask(message, {.max_new_tokens = 4}, {});
  EXPECT_LT(next.generation.prompt_tokens, cut.generation.prompt_tokens);
  EXPECT_EQ(next.generation.tokens,
            FreshAnswer(PromptOf({"hello", first.generation.text, message}), 4));
}

TEST(Conversation, ResetKeepsTheSystemMessage) {
  Conversation conversation =
      NewConversation(NewSession(), kTemplate, {MakeMessage("system", "be.brief")});
  const Answer first = conversation.Ask("hello", {.max_new_tokens = 4}, {});
  conversation.Ask("more", {.max_new_tokens = 4}, {});
  conversation.Reset();
  EXPECT_THAT(Contents(conversation), ElementsAre("system:be.brief"));
  const Answer other = conversation.Ask("good-day", {.max_new_tokens = 4}, {});
  // Both prompts begin with `system:be.brief<|end|>user:`.
  EXPECT_EQ(other.conversation_tokens - other.generation.prompt_tokens, 21);
  conversation.Reset();
  const Answer again = conversation.Ask("hello", {.max_new_tokens = 4}, {});
  EXPECT_EQ(again.generation.tokens, first.generation.tokens);
  EXPECT_EQ(again.conversation_tokens, first.conversation_tokens);
}

TEST(Conversation, GoesOnFromAGivenBeginning) {
  constexpr char kPartsTemplate[] =
      "{% for m in messages %}{{m.role}}:{% if m.content is string %}{{m.content}}{% else %}"
      "{{m.content[0].text}}{% endif %}<|end|>{% endfor %}{% if think %}+{% endif %}assistant:";
  const Messages beginning = {MakeMessage("user", "hello"), MakeMessage("assistant", "yes"),
                              R"({"role": "user", "content": [{"type": "text", "text": "hi"}]})"};
  Conversation conversation = {NewSession(),
                               EndlessModel().tokenizer,
                               TemplateOf(kPartsTemplate),
                               beginning,
                               {.arguments = {{"think", "true"}}}};
  std::vector<int32_t> prompt = EndlessModel().tokenizer.Encode(
      "user:hello<|end|>assistant:yes<|end|>user:hi<|end|>+assistant:", false);
  const Answer answer = conversation.AnswerLast({.max_new_tokens = 3}, {});
  EXPECT_EQ(answer.generation.tokens, FreshAnswer(prompt, 3));
  EXPECT_EQ(conversation.messages().size(), 4u);
  conversation.Ask("more", {.max_new_tokens = 2}, {});
  conversation.Reset();
  EXPECT_EQ(conversation.messages(), beginning);
}

TEST(Conversation, WithoutASystemMessageResetForgetsAll) {
  Conversation conversation = NewConversation(NewSession());
  conversation.Ask("hello", {.max_new_tokens = 2}, {});
  conversation.Reset();
  EXPECT_TRUE(conversation.messages().empty());
}

TEST(Conversation, AnErrorOfTheReaderTakesTheMessageBack) {
  const auto session = NewSession();
  Conversation conversation = NewConversation(session);
  const Answer first = conversation.Ask("hello", {.max_new_tokens = 4}, {});
  int calls = 0;
  EXPECT_THROW(conversation.Ask("lost", {.max_new_tokens = 8},
                                [&](std::string_view) -> bool {
                                  if (++calls == 3) throw Error("test", "broken pipe");
                                  return true;
                                }),
               Error);
  EXPECT_THAT(Contents(conversation),
              ElementsAre("user:hello", "assistant:" + first.generation.text));
  const Answer next = conversation.Ask("lost", {.max_new_tokens = 4}, {});
  // The prompt had run before the error.
  EXPECT_EQ(next.generation.prompt_tokens, 1);
  EXPECT_EQ(next.generation.tokens,
            FreshAnswer(PromptOf({"hello", first.generation.text, "lost"}), 4));
}

TEST(Conversation, RefusedOptionsAndTemplateErrorsTakeTheMessageBack) {
  Conversation conversation = NewConversation(NewSession(), kRefusingTemplate);
  const auto error_of = [&](const std::string& message, const GenerateOptions& options) {
    try {
      conversation.Ask(message, options, {});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(error_of("no", {.max_new_tokens = 2}), HasSubstr("refused"));
  EXPECT_THAT(error_of("yes", {.max_new_tokens = -1}), HasSubstr("max_new_tokens"));
  EXPECT_TRUE(conversation.messages().empty());
  EXPECT_EQ(conversation.Ask("yes", {.max_new_tokens = 3}, {}).generation.tokens,
            FreshAnswer(PromptOf({"yes"}, kRefusingTemplate), 3));
}

TEST(Conversation, APromptWithoutTokensIsRefused) {
  Conversation conversation = NewConversation(NewSession(), "{{ '' }}");
  EXPECT_THROW(conversation.Ask("hello", {}, {}), Error);
  EXPECT_TRUE(conversation.messages().empty());
}

}  // namespace
}  // namespace sinter::generate

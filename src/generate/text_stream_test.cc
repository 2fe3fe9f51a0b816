// Tests the way of tokens from an engine's thread to a consumer as text.

#include "generate/text_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <random>
#include <stdexcept>
#include <thread>

#include "base/error.h"

namespace sinter::generate {
namespace {

using engine::RequestEnd;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Tokens: a to e, the two bytes of U+00E9, and a special one.
constexpr int32_t kA = 0, kB = 1, kC = 2, kFirstByte = 5, kSecondByte = 6, kEnd = 7;

const text::Tokenizer& Letters() {
  static const text::Tokenizer tokenizer = text::Tokenizer::FromJson(R"({
    "model": {"type": "BPE", "merges": [],
              "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "\u00c3": 5, "\u00a9": 6}},
    "added_tokens": [{"id": 7, "content": "<end>", "special": true}],
    "decoder": {"type": "ByteLevel"}})");
  return tokenizer;
}

std::shared_ptr<TextStream> NewStream(std::vector<std::string> stop = {}) {
  return std::make_shared<TextStream>(
      Letters(), TextStreamOptions{.stop = std::move(stop), .end_tokens = {kEnd}});
}

// Takes all events that are there and the last one. Returns their text.
std::string Drain(TextStream& stream, std::optional<FinishReason>* reason = nullptr) {
  std::string text;
  for (;;) {
    const std::optional<TextEvent> event = stream.Next();
    text += event->text;
    if (!event->finish) continue;
    if (reason != nullptr) *reason = event->finish;
    return text;
  }
}

bool Readable(int fd) {
  pollfd waited{.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&waited, 1, 0) == 1 && (waited.revents & POLLIN) != 0;
}

TEST(TextStream, TokensThatCameTogetherAreOneEvent) {
  const auto stream = NewStream();
  EXPECT_FALSE(stream->Next(milliseconds(0)));
  const std::vector<engine::TokenLogProb> likeliest = {{kB, -0.5F}, {kA, -1.5F}};
  EXPECT_TRUE(stream->OnToken({.token = kA, .log_prob = -1.5F, .likeliest = likeliest}));
  EXPECT_TRUE(stream->OnToken({.token = kB}));
  std::optional<TextEvent> event = stream->Next(milliseconds(0));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->text, "ab");
  ASSERT_EQ(event->tokens.size(), 2U);
  EXPECT_EQ(event->tokens[0].token, kA);
  EXPECT_EQ(event->tokens[0].log_prob, -1.5F);
  ASSERT_EQ(event->tokens[0].likeliest.size(), 2U);
  EXPECT_EQ(event->tokens[0].likeliest[0].token, kB);
  EXPECT_FALSE(event->tokens[1].log_prob);
  EXPECT_FALSE(event->finish);
  EXPECT_FALSE(stream->Next(milliseconds(1)));

  // An end token counts and has no text.
  stream->OnToken({.token = kEnd});
  stream->OnEnd({RequestEnd::kEndToken, nullptr, 4, 2, 3});
  event = stream->Next();
  EXPECT_EQ(event->text, "");
  EXPECT_EQ(event->tokens.size(), 1U);
  EXPECT_EQ(event->finish, FinishReason::kEndToken);
  // The last event comes again, without what it brought.
  event = stream->Next();
  EXPECT_THAT(event->tokens, IsEmpty());
  EXPECT_EQ(event->finish, FinishReason::kEndToken);
  EXPECT_EQ(event->usage.prompt_tokens, 4);
  EXPECT_EQ(event->usage.cached_tokens, 2);
  EXPECT_EQ(event->usage.generated_tokens, 3);
}

TEST(TextStream, StopStringsEndIt) {
  const auto stream = NewStream({"bc"});
  std::optional<FinishReason> reason;
  EXPECT_TRUE(stream->OnToken({.token = kA}));
  EXPECT_TRUE(stream->OnToken({.token = kB}));
  EXPECT_FALSE(stream->OnToken({.token = kC}));
  // Whatever the engine says by then, the text ended at the stop string.
  stream->OnEnd({RequestEnd::kCancelled, nullptr, 1, 0, 3});
  EXPECT_EQ(Drain(*stream, &reason), "a");
  EXPECT_EQ(reason, FinishReason::kStopString);
}

TEST(TextStream, TextThatMightBeAStopStringIsHeldBack) {
  const auto stream = NewStream({"bc"});
  EXPECT_TRUE(stream->OnToken({.token = kB}));
  EXPECT_EQ(stream->Next()->text, "");  // its token has come
  stream->OnEnd({RequestEnd::kMaxTokens, nullptr, 1, 0, 1});
  std::optional<FinishReason> reason;
  EXPECT_EQ(Drain(*stream, &reason), "b");
  EXPECT_EQ(reason, FinishReason::kMaxNewTokens);
}

TEST(TextStream, TheEndCanCompleteAStopString) {
  // Half a character becomes U+FFFD when no more comes.
  const auto stream = NewStream({"a\xEF\xBF\xBD"});
  EXPECT_TRUE(stream->OnToken({.token = kA}));
  EXPECT_TRUE(stream->OnToken({.token = kFirstByte}));
  stream->OnEnd({RequestEnd::kMaxLength, nullptr, 1, 0, 2});
  std::optional<FinishReason> reason;
  EXPECT_EQ(Drain(*stream, &reason), "");
  EXPECT_EQ(reason, FinishReason::kStopString);
}

TEST(TextStream, CharactersStayWhole) {
  const auto stream = NewStream();
  stream->OnToken({.token = kFirstByte});
  EXPECT_EQ(stream->Next()->text, "");
  stream->OnToken({.token = kSecondByte});
  EXPECT_EQ(stream->Next()->text, "\xC3\xA9");
  stream->OnToken({.token = kFirstByte});
  stream->OnEnd({RequestEnd::kCancelled, nullptr, 1, 0, 3});
  std::optional<FinishReason> reason;
  EXPECT_EQ(Drain(*stream, &reason), "\xEF\xBF\xBD");
  EXPECT_EQ(reason, FinishReason::kCancelled);
}

TEST(TextStream, AnErrorComesAfterTheTextBeforeIt) {
  const auto stream = NewStream();
  stream->OnToken({.token = kA});
  stream->OnEnd(
      {.end = RequestEnd::kError, .error = std::make_exception_ptr(DeviceLostError("gone"))});
  const std::optional<TextEvent> event = stream->Next();
  EXPECT_EQ(event->text, "a");
  EXPECT_FALSE(event->finish);
  EXPECT_THROW(stream->Next(), DeviceLostError);
  EXPECT_THROW(stream->Next(milliseconds(0)), DeviceLostError);
}

TEST(TextStream, TheDescriptorIsReadableWhileThereIsAnEvent) {
  const auto stream = NewStream();
  const int fd = stream->Descriptor();
  EXPECT_EQ(stream->Descriptor(), fd);
  EXPECT_FALSE(Readable(fd));
  stream->OnToken({.token = kA});
  stream->OnToken({.token = kA});
  EXPECT_TRUE(Readable(fd));
  stream->Next();
  EXPECT_FALSE(Readable(fd));
  stream->OnEnd({RequestEnd::kMaxTokens, nullptr, 1, 0, 2});
  stream->Next();
  EXPECT_TRUE(Readable(fd)) << "the last event stays";

  // Asked for late, it says what there is.
  const auto late = NewStream();
  late->OnToken({.token = kA});
  EXPECT_TRUE(Readable(late->Descriptor()));
}

TEST(TextStream, MasksComeFromTheOwner) {
  TextStream stream(Letters(), {.mask = [](std::span<uint32_t> allowed) { allowed[0] = 5; }});
  std::vector<uint32_t> allowed = {~0U};
  stream.MaskTokens(allowed);
  EXPECT_THAT(allowed, ElementsAre(5));
  NewStream()->MaskTokens(allowed);
  EXPECT_THAT(allowed, ElementsAre(5));
}

TEST(TextStream, NothingIsLostBetweenTwoThreads) {
  const auto stream = NewStream({"abcabc"});
  std::string want;
  std::thread engine([&] {
    std::mt19937 random(1);
    for (int i = 0; i < 2000; ++i) {
      const int32_t token = i % 7 == 0   ? kFirstByte
                            : i % 7 == 1 ? kSecondByte
                                         : static_cast<int32_t>(random() % 5);
      want += i % 7 == 0   ? "\xC3"
              : i % 7 == 1 ? "\xA9"
                           : std::string(1, static_cast<char>('a' + token));
      stream->OnToken({.token = token});
    }
    stream->OnEnd({RequestEnd::kMaxTokens, nullptr, 1, 0, 2000});
  });
  const std::string got = Drain(*stream);
  engine.join();
  EXPECT_EQ(got, want);
}

}  // namespace
}  // namespace sinter::generate

// Which turns stay when a conversation outgrows the context, with one token for each character.

#include "generate/context_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sinter::generate {
namespace {

using ::testing::ElementsAre;

std::vector<int32_t> Encode(const Messages& messages) {
  std::vector<int32_t> tokens;
  for (const std::string& message : messages) {
    for (const char c : ContentOf(message)) tokens.push_back(c);
  }
  return tokens;
}

std::string Text(const std::vector<int32_t>& tokens) { return {tokens.begin(), tokens.end()}; }

// Returns the contents, joined by commas.
std::string Contents(const Messages& messages) {
  std::string text;
  for (const std::string& message : messages)
    text += (text.empty() ? "" : ",") + ContentOf(message);
  return text;
}

const Messages kTalk = {
    MakeMessage("system", "S"),    MakeMessage("assistant", "hi"),
    MakeMessage("user", "a"),      MakeMessage("assistant", "AA"),
    MakeMessage("user", "b"),      MakeMessage("assistant", "call"),
    MakeMessage("tool", "result"), MakeMessage("assistant", "BB"),
    MakeMessage("user", "c"),
};

TEST(ContextWindow, WholeTurnsGoAndSystemMessagesStay) {
  EXPECT_EQ(Contents(WithoutTurns(kTalk, 0)), "S,hi,a,AA,b,call,result,BB,c");
  EXPECT_EQ(Contents(WithoutTurns(kTalk, 1)), "S,a,AA,b,call,result,BB,c");
  EXPECT_EQ(Contents(WithoutTurns(kTalk, 2)), "S,b,call,result,BB,c");
  EXPECT_EQ(Contents(WithoutTurns(kTalk, 3)), "S,c");
  EXPECT_EQ(Contents(WithoutTurns(kTalk, 99)), "S,c");
  EXPECT_EQ(Contents(WithoutTurns({}, 1)), "");
  const Messages late = {MakeMessage("user", "a"), MakeMessage("assistant", "A"),
                         MakeMessage("developer", "D"), MakeMessage("user", "b")};
  EXPECT_EQ(Contents(WithoutTurns(late, 1)), "D,b");
}

TEST(ContextWindow, NothingIsLeftOutWhileThereIsRoom) {
  const Window window = FitTurns(kTalk, 0, {.max_length = 30, .answer = 10}, Encode);
  EXPECT_EQ(Text(window.prompt), "ShiaAAbcallresultBBc");
  EXPECT_EQ(window.left_out_turns, 0u);
  // What was left out before stays out, so that the prompt begins as the last one did.
  EXPECT_EQ(FitTurns(kTalk, 1, {.max_length = 30, .answer = 10}, Encode).left_out_turns, 1u);
  EXPECT_EQ(FitTurns(kTalk, 9, {.max_length = 30, .answer = 10}, Encode).left_out_turns, 3u);
}

TEST(ContextWindow, AFullContextIsCutToAHalf) {
  Messages talk = {MakeMessage("system", "S")};
  for (int i = 0; i < 9; ++i) {
    talk.push_back(MakeMessage("user", std::string(1, static_cast<char>('a' + i))));
    talk.push_back(MakeMessage("assistant", "."));
  }
  talk.push_back(MakeMessage("user", "z"));
  const WindowSize size = {.max_length = 24, .answer = 5};
  const Window window = FitTurns(talk, 0, size, Encode);
  EXPECT_EQ(Text(window.prompt), "Se.f.g.h.i.z");
  EXPECT_EQ(window.left_out_turns, 4u);
}

TEST(ContextWindow, ALongLastTurnTakesTheRoomOfTheOthers) {
  const auto talk = [](size_t last) {
    return Messages{MakeMessage("system", "S"),    MakeMessage("user", "aaaa"),
                    MakeMessage("assistant", "A"), MakeMessage("user", "bb"),
                    MakeMessage("assistant", "B"), MakeMessage("user", std::string(last, 'z'))};
  };
  const WindowSize size = {.max_length = 20, .answer = 5};
  const auto left_out = [&](size_t last) {
    return FitTurns(talk(last), 0, size, Encode).left_out_turns;
  };
  EXPECT_EQ(left_out(6), 0u);   // 15 of 15
  EXPECT_EQ(left_out(7), 2u);   // 8 of 10; with one turn more 11
  EXPECT_EQ(left_out(10), 1u);  // more than a half, with a turn 14 of 15
  EXPECT_EQ(left_out(14), 2u);
  EXPECT_EQ(left_out(15), 1u);  // no room for a whole answer: 19 of 19
  EXPECT_EQ(left_out(18), 2u);
  try {
    left_out(19);
    FAIL();
  } catch (const ConversationTooLongError& error) {
    EXPECT_EQ(error.tokens(), 20);
    EXPECT_EQ(error.room(), 19);
  }
}

TEST(ContextWindow, ASingleTurnThatIsTooLongIsRefused) {
  const WindowSize size = {.max_length = 4, .answer = 1};
  EXPECT_EQ(Text(FitTurns({MakeMessage("user", "abc")}, 0, size, Encode).prompt), "abc");
  EXPECT_THROW(FitTurns({MakeMessage("user", "abcd")}, 0, size, Encode), ConversationTooLongError);
}

TEST(ContextWindow, AThousandTurnsNeedFewPrompts) {
  Messages talk;
  for (int i = 0; i < 1000; ++i) {
    talk.push_back(MakeMessage("user", "question"));
    talk.push_back(MakeMessage("assistant", "answer.."));
  }
  talk.push_back(MakeMessage("user", "last"));
  int calls = 0;
  const Window window =
      FitTurns(talk, 0, {.max_length = 1024, .answer = 256}, [&](const Messages& messages) {
        ++calls;
        return Encode(messages);
      });
  EXPECT_EQ(window.left_out_turns, 1000u - (512 - 4) / 16);
  EXPECT_LE(calls, 12);
}

TEST(ContextWindow, RoomForTheAnswer) {
  const auto answer = [](int64_t max_length, int64_t max_new_tokens) {
    return WindowSizeFor(max_length, max_new_tokens).answer;
  };
  EXPECT_THAT((std::vector<int64_t>{answer(1000, 0), answer(100000, 0), answer(1000, 30),
                                    answer(1000, 900), answer(3, 0), answer(1, 0)}),
              ElementsAre(250, 2048, 30, 500, 1, 1));
}

}  // namespace
}  // namespace sinter::generate

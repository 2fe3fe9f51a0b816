// Chooses which turns of a conversation the model sees: when the context is full, the oldest are
// left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "generate/messages.h"

namespace sinter::generate {

// Error thrown when the last message of a conversation does not fit, even without all earlier
// turns.
class ConversationTooLongError : public Error {
 public:
  // `tokens` and `room` count the tokens of the system message, the last turn and what the chat
  // template adds.
  ConversationTooLongError(int64_t tokens, int64_t room);

  int64_t tokens() const { return tokens_; }
  int64_t room() const { return room_; }

 private:
  int64_t tokens_, room_;
};

// The part of a conversation that the model sees.
struct Window {
  std::vector<int32_t> prompt;
  size_t left_out_turns = 0;  // the oldest turns, which the prompt lacks
};

struct WindowSize {
  int64_t max_length = 0;  // tokens of the whole context: prompt and answer
  int64_t answer = 1;  // tokens that the answer should have room for, at most half of max_length
};

// Returns the room that an answer should have in a context of `max_length` tokens: `max_new_tokens`
// if it is not 0, else a quarter of the context and at most 2,048 tokens.
WindowSize WindowSizeFor(int64_t max_length, int64_t max_new_tokens);

// Returns whether the message instructs the model, so that it always stays: its role is system or
// developer.
bool IsSystemMessage(const std::string& message);

// Returns the messages without the first `left_out` turns. A turn is a user's message and all that
// follow it up to the user's next one; messages between the system message and the first user's are
// a turn, too. System messages always stay, and so does the last turn.
Messages WithoutTurns(const Messages& messages, size_t left_out);

// Returns the prompt of the conversation without its first `left_out` turns if that leaves room for
// the answer. Otherwise leaves out more turns, until the prompt takes at most half of the context:
// the next turns then only append to it, so that the cache of keys and values is of use to them. If
// the last turn is too long for that, as many turns as needed are left out. The last turn stays.
//
// `encode` returns the tokens of the prompt of some messages. Throws ConversationTooLongError if
// the prompt of the last turn leaves no room for any token of an answer, and what `encode` throws.
Window FitTurns(const Messages& messages, size_t left_out, const WindowSize& size,
                const std::function<std::vector<int32_t>(const Messages&)>& encode);

}  // namespace sinter::generate

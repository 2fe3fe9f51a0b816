// Conversation with a model: keeps the messages, applies the model's chat template, and reuses the
// tokens that the session holds already.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/sequence.h"
#include "generate/generator.h"
#include "generate/messages.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::generate {

// Error thrown when the prompt of a conversation has more tokens than the session holds.
class ConversationTooLongError : public Error {
 public:
  ConversationTooLongError(int64_t tokens, int64_t max_length);

  int64_t tokens() const { return tokens_; }
  int64_t max_length() const { return max_length_; }

 private:
  int64_t tokens_, max_length_;
};

// An answer, which is also the conversation's last message.
struct Answer {
  // `generation.prompt_tokens` counts the tokens of the prompt that had to run.
  Generation generation;
  // Tokens of the whole prompt: all messages before the answer, as the template writes them.
  int64_t conversation_tokens = 0;
};

// One conversation on one session. Not safe for several threads at once.
class Conversation {
 public:
  // `beginning` holds the first messages, such as the system message. Nothing else may use the
  // session while the conversation lives. The session's sequence is emptied.
  Conversation(std::shared_ptr<engine::Sequence> session, text::Tokenizer tokenizer,
               text::ChatTemplate chat_template, Messages beginning = {},
               text::ChatTemplateOptions options = {});

  // Adds the user's message, generates the answer, and adds it too. `on_text` gets the text as
  // Generator::Run gives it; it returns false to stop, and the answer ends there.
  //
  // Only tokens after the part that the prompt and the session's sequence have in common run. That
  // part is found by comparing tokens, because a template may write earlier messages differently
  // once more follow, and an answer's text may encode to other tokens than were generated.
  //
  // Throws ConversationTooLongError, and what EncodeMessages, Generator::Run and `on_text` throw.
  // The messages are then as before the call, so that the conversation can go on.
  Answer Ask(std::string_view message, const GenerateOptions& options,
             const std::function<bool(std::string_view)>& on_text);
  // Does the same without a further message: answers the messages that there are.
  Answer AnswerLast(const GenerateOptions& options,
                    const std::function<bool(std::string_view)>& on_text);

  // Forgets all messages but those of the beginning. The session keeps its tokens: a beginning that
  // the next conversation shares with this one need not run again.
  void Reset();

  // The messages of the beginning, then the user's and the assistant's by turns.
  const Messages& messages() const { return messages_; }

 private:
  Answer AnswerMessages(const GenerateOptions& options,
                        const std::function<bool(std::string_view)>& on_text);

  Generator generator_;
  text::ChatTemplate template_;
  text::ChatTemplateOptions template_options_;
  Messages messages_;
  size_t beginning_;              // messages of the beginning, at the front of messages_
  std::vector<int32_t> history_;  // tokens of the session's sequence
};

}  // namespace sinter::generate

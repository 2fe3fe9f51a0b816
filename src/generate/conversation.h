// Conversation with a model: keeps the messages, applies the model's chat template, and reuses the
// tokens that the session holds already.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sequence.h"
#include "generate/context_window.h"
#include "generate/generator.h"
#include "generate/messages.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::generate {

// An answer, which is also the conversation's last message.
struct Answer {
  // `generation.prompt_tokens` counts the tokens of the prompt that had to run.
  Generation generation;
  // Tokens of the whole prompt: all messages before the answer that the model sees, as the template
  // writes them.
  int64_t conversation_tokens = 0;
  // Oldest turns that the prompt lacks in the end because the context is full.
  size_t left_out_turns = 0;
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
  // Generator::Run gives it; it returns false to stop, and the answer ends there. An answer that is
  // cancelled before its first text is not added, and neither is the message.
  //
  // Only tokens after the part that the prompt and the session's sequence have in common run. That
  // part is found by comparing tokens, because a template may write earlier messages differently
  // once more follow, and an answer's text may encode to other tokens than were generated.
  //
  // When the context is full, the prompt lacks the oldest turns (FitTurns); the messages stay. If
  // it becomes full in the midst of an answer, more turns are left out, what stays runs again, and
  // the answer goes on.
  //
  // Throws ConversationTooLongError, and what EncodeMessages, Generator::Run and `on_text` throw.
  // The messages are then as before the call, so that the conversation can go on.
  Answer Ask(std::string_view message, const GenerateOptions& options,
             const std::function<bool(std::string_view)>& on_text);
  // Does the same without a further message: answers the messages that there are.
  Answer AnswerLast(const GenerateOptions& options,
                    const std::function<bool(std::string_view)>& on_text);
  // Generates the last answer anew and puts it in the place of the old one, which stays if the new
  // one is not added. Must not be called unless HasAnswer().
  Answer AnswerAgain(const GenerateOptions& options,
                     const std::function<bool(std::string_view)>& on_text);
  // Returns whether the last message is an answer that does not belong to the beginning.
  bool HasAnswer() const;
  // Returns whether there are messages that do not belong to the beginning.
  bool HasTurns() const { return messages_.size() > beginning_; }

  // Removes the user's last message and what followed it. Returns false if all messages belong to
  // the beginning.
  bool Undo();
  // Forgets all messages but those of the beginning. The session keeps its tokens: a beginning that
  // the next conversation shares with this one need not run again.
  void Reset();
  // Goes on from these messages instead, with these options of the template. Their system messages
  // at the front are the new beginning.
  void Replace(Messages messages, text::ChatTemplateOptions options);
  // Sets the system message, the first message, or removes it if `text` is empty.
  void SetSystem(std::string_view text);
  // Returns the text of the system message, or "" if there is none.
  std::string System() const;

  // Sets a function that is called before an answer whose prompt lacks more turns than the last
  // one, with the number of turns that are left out from then on.
  void OnLeftOut(std::function<void(size_t)> call) { on_left_out_ = std::move(call); }

  // The messages of the beginning, then the user's and the assistant's by turns, also those that
  // the prompt lacks.
  const Messages& messages() const { return messages_; }
  const text::ChatTemplate& chat_template() const { return template_; }

 private:
  Answer AnswerMessages(const GenerateOptions& options,
                        const std::function<bool(std::string_view)>& on_text);
  // Leaves out more turns in the midst of an answer. Replaces `prompt` and returns how the
  // session's sequence gets from the old prompt and `generated` to the new one; nullopt if no turn
  // is left to leave out, or if the answer fills the context by itself.
  std::optional<ShorterSequence> MakeRoom(
      std::vector<int32_t>& prompt, const std::vector<int32_t>& generated,
      const std::function<std::vector<int32_t>(const Messages&)>& encode);

  Generator generator_;
  text::ChatTemplate template_;
  text::ChatTemplateOptions template_options_;
  Messages messages_;
  size_t beginning_;              // messages of the beginning, at the front of messages_
  std::vector<int32_t> history_;  // tokens of the session's sequence
  size_t left_out_turns_ = 0;     // as in the last answer
  std::function<void(size_t)> on_left_out_;
};

}  // namespace sinter::generate

#include "generate/conversation.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sinter::generate {

ConversationTooLongError::ConversationTooLongError(int64_t tokens, int64_t max_length)
    : Error("generate", "conversation: got {} tokens, want at most {} (the maximum length)", tokens,
            max_length),
      tokens_(tokens),
      max_length_(max_length) {}

Conversation::Conversation(std::shared_ptr<engine::Sequence> session, text::Tokenizer tokenizer,
                           text::ChatTemplate chat_template, Messages beginning,
                           text::ChatTemplateOptions options)
    : generator_(std::move(session), std::move(tokenizer)),
      template_(std::move(chat_template)),
      template_options_(std::move(options)),
      messages_(std::move(beginning)),
      beginning_(messages_.size()) {
  generator_.session().Rewind(0);
}

Answer Conversation::Ask(std::string_view message, const GenerateOptions& options,
                         const std::function<bool(std::string_view)>& on_text) {
  messages_.push_back(MakeMessage("user", message));
  try {
    return AnswerLast(options, on_text);
  } catch (...) {
    messages_.pop_back();
    throw;
  }
}

Answer Conversation::AnswerLast(const GenerateOptions& options,
                                const std::function<bool(std::string_view)>& on_text) {
  Answer answer = AnswerMessages(options, on_text);
  messages_.push_back(MakeMessage("assistant", answer.generation.text));
  return answer;
}

void Conversation::Reset() { messages_.resize(beginning_); }

Answer Conversation::AnswerMessages(const GenerateOptions& options,
                                    const std::function<bool(std::string_view)>& on_text) {
  engine::Sequence& session = generator_.session();
  std::vector<int32_t> prompt =
      EncodeMessages(generator_.tokenizer(), template_, messages_, template_options_);
  const auto length = static_cast<int64_t>(prompt.size());
  if (length > session.max_length()) throw ConversationTooLongError(length, session.max_length());

  const auto [end, at] =
      std::mismatch(history_.begin(), history_.end(), prompt.begin(), prompt.end());
  auto common = end - history_.begin();
  // The prompt's last token always runs: its logits, which choose the answer's first token, are not
  // kept.
  if (common == length) common = std::max<int64_t>(length - 1, 0);
  session.Rewind(common);
  history_.resize(static_cast<size_t>(common));
  try {
    Answer answer = {generator_.Run(std::span(prompt).subspan(history_.size()), options, on_text),
                     length};
    history_ = std::move(prompt);
    history_.insert(history_.end(), answer.generation.tokens.begin(),
                    answer.generation.tokens.end());
    return answer;
  } catch (...) {
    // The session now holds the part of the prompt that has run.
    SINTER_CHECK(session.length() <= length, "{} tokens of {}", session.length(), length);
    history_.assign(prompt.begin(), prompt.begin() + session.length());
    throw;
  }
}

}  // namespace sinter::generate

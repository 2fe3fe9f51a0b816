#include "generate/conversation.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sinter::generate {

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
  const size_t asked = messages_.size();
  try {
    Answer answer = AnswerLast(options, on_text);
    if (messages_.size() == asked) messages_.pop_back();
    return answer;
  } catch (...) {
    messages_.pop_back();
    throw;
  }
}

Answer Conversation::AnswerLast(const GenerateOptions& options,
                                const std::function<bool(std::string_view)>& on_text) {
  Answer answer = AnswerMessages(options, on_text);
  const Generation& generation = answer.generation;
  if (generation.reason != FinishReason::kCancelled || !generation.text.empty())
    messages_.push_back(MakeMessage("assistant", generation.text));
  return answer;
}

Answer Conversation::AnswerAgain(const GenerateOptions& options,
                                 const std::function<bool(std::string_view)>& on_text) {
  SINTER_CHECK(HasAnswer(), "no answer to replace");
  const std::string old = std::move(messages_.back());
  messages_.pop_back();
  const size_t asked = messages_.size();
  try {
    Answer answer = AnswerLast(options, on_text);
    if (messages_.size() == asked) messages_.push_back(old);
    return answer;
  } catch (...) {
    messages_.push_back(old);
    throw;
  }
}

bool Conversation::HasAnswer() const {
  return messages_.size() > beginning_ && RoleOf(messages_.back()) == "assistant";
}

bool Conversation::Undo() {
  for (size_t i = messages_.size(); i > beginning_; --i) {
    if (RoleOf(messages_[i - 1]) != "user") continue;
    messages_.resize(i - 1);
    left_out_turns_ = 0;
    return true;
  }
  return false;
}

void Conversation::Reset() {
  messages_.resize(beginning_);
  left_out_turns_ = 0;
}

void Conversation::Replace(Messages messages, text::ChatTemplateOptions options) {
  messages_ = std::move(messages);
  template_options_ = std::move(options);
  beginning_ = 0;
  while (beginning_ < messages_.size() && IsSystemMessage(messages_[beginning_])) ++beginning_;
  left_out_turns_ = 0;
}

void Conversation::SetSystem(std::string_view text) {
  if (!messages_.empty() && IsSystemMessage(messages_.front())) {
    messages_.erase(messages_.begin());
    if (beginning_ > 0) --beginning_;
  }
  if (text.empty()) return;
  messages_.insert(messages_.begin(), MakeMessage("system", text));
  ++beginning_;
}

std::string Conversation::System() const {
  if (messages_.empty() || !IsSystemMessage(messages_.front())) return "";
  return ContentOf(messages_.front());
}

Answer Conversation::AnswerMessages(const GenerateOptions& options,
                                    const std::function<bool(std::string_view)>& on_text) {
  engine::Sequence& session = generator_.session();
  const auto encode = [&](const Messages& messages) {
    return EncodeMessages(generator_.tokenizer(), template_, messages, template_options_);
  };
  Window window = FitTurns(messages_, left_out_turns_,
                           WindowSizeFor(session.max_length(), options.max_new_tokens), encode);
  std::vector<int32_t>& prompt = window.prompt;
  const auto length = static_cast<int64_t>(prompt.size());
  if (window.left_out_turns > left_out_turns_ && on_left_out_) on_left_out_(window.left_out_turns);
  left_out_turns_ = window.left_out_turns;

  const auto [end, at] =
      std::mismatch(history_.begin(), history_.end(), prompt.begin(), prompt.end());
  auto common = end - history_.begin();
  // The prompt's last token always runs: its logits, which choose the answer's first token, are not
  // kept.
  if (common == length) common = std::max<int64_t>(length - 1, 0);
  session.Rewind(common);
  history_.resize(static_cast<size_t>(common));
  bool made_room = false;
  GenerateOptions roomy = options;
  roomy.make_room = [&](const std::vector<int32_t>& generated) {
    std::optional<ShorterSequence> shorter = MakeRoom(prompt, generated, encode);
    made_room = made_room || shorter;
    return shorter;
  };
  try {
    Answer answer = {generator_.Run(std::span(prompt).subspan(history_.size()), roomy, on_text),
                     length};
    answer.left_out_turns = left_out_turns_;
    history_ = std::move(prompt);
    history_.insert(history_.end(), answer.generation.tokens.begin(),
                    answer.generation.tokens.end());
    // A prompt that was cancelled has run in part.
    history_.resize(static_cast<size_t>(session.length()));
    return answer;
  } catch (...) {
    if (made_room) {
      // The session may hold tokens of either prompt.
      session.Rewind(0);
      history_.clear();
      throw;
    }
    // The session now holds the part of the prompt that has run.
    SINTER_CHECK(session.length() <= length, "{} tokens of {}", session.length(), length);
    history_.assign(prompt.begin(), prompt.begin() + session.length());
    throw;
  }
}

std::optional<ShorterSequence> Conversation::MakeRoom(
    std::vector<int32_t>& prompt, const std::vector<int32_t>& generated,
    const std::function<std::vector<int32_t>(const Messages&)>& encode) {
  const int64_t max_length = generator_.session().max_length();
  const auto length = max_length - static_cast<int64_t>(generated.size());
  // Less room is not worth running all that stays again.
  const int64_t room = std::max<int64_t>(max_length / 8, 1);
  if (length <= room) return std::nullopt;
  Window window;
  try {
    window = FitTurns(messages_, left_out_turns_ + 1, {length, room}, encode);
  } catch (const ConversationTooLongError&) {
    return std::nullopt;
  }
  const bool fits = static_cast<int64_t>(window.prompt.size()) <= length - room;
  if (window.left_out_turns <= left_out_turns_ || !fits) return std::nullopt;
  left_out_turns_ = window.left_out_turns;
  std::vector<int32_t> before = std::exchange(prompt, std::move(window.prompt));
  before.insert(before.end(), generated.begin(), generated.end());
  std::vector<int32_t> after = prompt;
  after.insert(after.end(), generated.begin(), generated.end());
  const auto common = std::ranges::mismatch(before, after).in2;
  const auto keep = std::min(common, after.end() - 1);
  return ShorterSequence{keep - after.begin(), {keep, after.end()}};
}

}  // namespace sinter::generate

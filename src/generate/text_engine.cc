#include "generate/text_engine.h"

#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace sinter::generate {

void AnswerStream::Cancel() {
  std::lock_guard lock(link_->mutex);
  if (link_->engine != nullptr) link_->engine->Cancel(id_);
}

TextEngine::TextEngine(std::unique_ptr<engine::Engine> engine, text::Tokenizer tokenizer,
                       std::optional<text::ChatTemplate> chat_template)
    : link_(std::make_shared<AnswerStream::Link>()),
      tokenizer_(std::move(tokenizer)),
      template_(std::move(chat_template)),
      engine_(std::move(engine)) {
  link_->engine = engine_.get();
}

TextEngine::~TextEngine() {
  std::lock_guard lock(link_->mutex);
  link_->engine = nullptr;
}

std::vector<int32_t> EncodeRequest(const text::Tokenizer& tokenizer,
                                   const std::optional<text::ChatTemplate>& chat_template,
                                   const TextRequest& request) {
  const int inputs = static_cast<int>(request.prompt.has_value()) +
                     static_cast<int>(!request.tokens.empty()) +
                     static_cast<int>(!request.messages.empty());
  if (inputs != 1)
    throw Error("generate", "request: got {} of prompt, tokens and messages, want one", inputs);
  if (request.prompt) return tokenizer.Encode(*request.prompt, /*add_special_tokens=*/true);
  if (!request.tokens.empty()) return request.tokens;
  if (!chat_template)
    throw Error("generate", "messages: got a model without a chat template, want one that has it");
  return EncodeMessages(
      tokenizer, *chat_template,
      WithReadableContent(*chat_template, request.messages, request.template_options),
      request.template_options);
}

std::unique_ptr<AnswerStream> TextEngine::Submit(TextRequest request) {
  const GenerateOptions& options = request.options;
  SINTER_CHECK(!options.cancelled && !options.make_room, "callbacks of a Generator in a request");
  const model::GenaiConfig& config = engine_->config();
  engine::Request next = std::move(request.more);
  next.prompt = EncodeRequest(tokenizer_, template_, request);
  next.choice = ChooseBy(config, options);
  next.max_tokens = options.max_new_tokens;
  for (const int64_t id :
       options.eos_token_ids.empty() ? config.eos_token_ids : options.eos_token_ids) {
    next.end_tokens.push_back(static_cast<int32_t>(id));
  }
  next.masks = static_cast<bool>(request.mask);
  auto stream = std::make_shared<TextStream>(
      tokenizer_, TextStreamOptions{options.stop, next.end_tokens, std::move(request.mask)});
  next.listener = stream;
  const engine::Engine::RequestId id = engine_->Submit(std::move(next));
  return std::unique_ptr<AnswerStream>(new AnswerStream(std::move(stream), link_, id));
}

}  // namespace sinter::generate

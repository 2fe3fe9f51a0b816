// Text over an engine: takes prompts or messages from any thread and streams their answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "generate/generator.h"
#include "generate/messages.h"
#include "generate/text_stream.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::generate {

struct TextRequest {
  // Exactly one of the three: text that the model continues, tokens, or messages to answer.
  std::optional<std::string> prompt;
  std::vector<int32_t> tokens;
  Messages messages;
  text::ChatTemplateOptions template_options;  // for messages

  // Its `cancelled` and `make_room` must be empty: AnswerStream::Cancel ends a request.
  GenerateOptions options;
  // What GenerateOptions lacks: min_tokens, logit_bias, penalties, log_probs, client, priority. All
  // other members are set by TextEngine.
  engine::Request more;
  // Called by the engine's thread before each token is chosen, to say which tokens may be; see
  // RequestListener::MaskTokens. Must not throw.
  std::function<void(std::span<uint32_t>)> mask;
};

// The answer to a request as it comes. Cancels the request when it is destroyed; it may outlive the
// engine.
class AnswerStream {
 public:
  ~AnswerStream() { Cancel(); }
  AnswerStream(const AnswerStream&) = delete;
  AnswerStream& operator=(const AnswerStream&) = delete;

  // As TextStream has them: for one thread at a time.
  std::optional<TextEvent> Next(std::optional<std::chrono::nanoseconds> timeout = {}) {
    return stream_->Next(timeout);
  }
  int Descriptor() { return stream_->Descriptor(); }
  // Ends the request soon, unless it has ended. May be called by any thread.
  void Cancel();

 private:
  friend class TextEngine;
  // Way to the engine for as long as it is there.
  struct Link {
    std::mutex mutex;
    engine::Engine* engine = nullptr;
  };
  AnswerStream(std::shared_ptr<TextStream> stream, std::shared_ptr<Link> link,
               engine::Engine::RequestId id)
      : stream_(std::move(stream)), link_(std::move(link)), id_(id) {}

  std::shared_ptr<TextStream> stream_;
  std::shared_ptr<Link> link_;
  engine::Engine::RequestId id_;
};

// All calls are safe from several threads at once.
class TextEngine {
 public:
  // `chat_template` may be missing; then there are no messages.
  TextEngine(std::unique_ptr<engine::Engine> engine, text::Tokenizer tokenizer,
             std::optional<text::ChatTemplate> chat_template);
  // Cancels all requests and waits for the engine's thread. Streams stay valid.
  ~TextEngine();
  TextEngine(const TextEngine&) = delete;
  TextEngine& operator=(const TextEngine&) = delete;

  // Queues a request. Throws Error if the request is wrong, if the model has no chat template for
  // its messages, and what Engine::Submit throws.
  std::unique_ptr<AnswerStream> Submit(TextRequest request);

  engine::Engine& engine() { return *engine_; }
  const text::Tokenizer& tokenizer() const { return tokenizer_; }
  const std::optional<text::ChatTemplate>& chat_template() const { return template_; }

 private:
  std::shared_ptr<AnswerStream::Link> link_;
  text::Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> template_;
  std::unique_ptr<engine::Engine> engine_;
};

// Returns the tokens of a request's prompt, its text, or its messages. Needs no GPU. Throws Error
// if there is not exactly one of them, if there are messages without a chat template, and what
// EncodeMessages and Tokenizer::Encode throw.
std::vector<int32_t> EncodeRequest(const text::Tokenizer& tokenizer,
                                   const std::optional<text::ChatTemplate>& chat_template,
                                   const TextRequest& request);

}  // namespace sinter::generate

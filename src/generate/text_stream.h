// Text of one request to an engine: turns the tokens that the engine hands out into text, and keeps
// both for a consumer in another thread. Needs no GPU.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "engine/request.h"
#include "generate/finish_reason.h"
#include "generate/stop_strings.h"
#include "text/tokenizer.h"

namespace sinter::generate {

struct TextToken {
  int32_t token = 0;
  // Only for requests with log probabilities.
  std::optional<float> log_prob;
  std::vector<engine::TokenLogProb> likeliest;
};

struct TextUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;     // tokens of the prompt that did not need to run
  int64_t generated_tokens = 0;  // including the end token
};

// What a request gave since the last event.
struct TextEvent {
  // Whole characters that no stop string can change any more. Text may come later than its tokens.
  std::string text;
  std::vector<TextToken> tokens;
  // Only in the last event.
  std::optional<FinishReason> finish;
  TextUsage usage;
};

struct TextStreamOptions {
  std::vector<std::string> stop;    // text that ends the request and is not returned
  std::vector<int32_t> end_tokens;  // tokens that end the request and have no text
  // Called by the engine's thread as RequestListener::MaskTokens; must not throw.
  std::function<void(std::span<uint32_t>)> mask;
};

// Listener of one request, and the consumer's end of it. The engine calls OnToken, OnEnd and
// MaskTokens; the rest is the consumer's, one thread at a time.
class TextStream : public engine::RequestListener {
 public:
  TextStream(const text::Tokenizer& tokenizer, TextStreamOptions options);

  // Waits for the next event, without a timeout as long as it takes. Returns nullopt if nothing
  // came in that time. Throws what ended the request with an error, once the events before it were
  // taken. After the last event returns it again, without text and tokens.
  std::optional<TextEvent> Next(std::optional<std::chrono::nanoseconds> timeout = {});
  // Returns a descriptor that is readable (poll, epoll) while Next() would not wait. The stream
  // owns it; nobody else may read from it. Throws Error if the system has no more descriptors.
  int Descriptor();

  bool OnToken(const engine::ChosenToken& token) override;
  void OnEnd(const engine::RequestResult& result) override;
  void MaskTokens(std::span<uint32_t> allowed) override;

 private:
  bool HasEvent() const {
    return finish_ || error_ || !next_.text.empty() || !next_.tokens.empty();
  }
  // Adds to the next event and wakes the consumer.
  void Add(const std::string& text, TextToken token);
  // Makes the descriptor readable, or not, as HasEvent says.
  void UpdateDescriptor();

  const TextStreamOptions options_;
  // Of the engine's thread.
  text::StreamDecoder decoder_;
  StopStrings stop_;
  std::exception_ptr failure_;  // what turning tokens into text threw

  std::mutex mutex_;  // for all below
  std::condition_variable wake_;
  TextEvent next_;
  std::optional<FinishReason> finish_;
  std::exception_ptr error_;
  FileDescriptor descriptor_;
  bool has_descriptor_ = false, readable_ = false;
};

}  // namespace sinter::generate

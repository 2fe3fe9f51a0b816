#include "generate/text_stream.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace sinter::generate {
namespace {

FinishReason ReasonOf(engine::RequestEnd end) {
  switch (end) {
    case engine::RequestEnd::kEndToken:
      return FinishReason::kEndToken;
    case engine::RequestEnd::kListener:
      return FinishReason::kStopString;
    case engine::RequestEnd::kMaxTokens:
      return FinishReason::kMaxNewTokens;
    case engine::RequestEnd::kMaxLength:
      return FinishReason::kMaxLength;
    case engine::RequestEnd::kCancelled:
    case engine::RequestEnd::kError:
      break;
  }
  return FinishReason::kCancelled;
}

}  // namespace

TextStream::TextStream(const text::Tokenizer& tokenizer, TextStreamOptions options)
    : options_(std::move(options)),
      decoder_(tokenizer, /*skip_special=*/true),
      stop_(options_.stop) {}

bool TextStream::OnToken(const engine::ChosenToken& token) {
  std::string text;
  if (std::ranges::find(options_.end_tokens, token.token) == options_.end_tokens.end()) {
    try {
      text = stop_.Push(decoder_.Push(token.token));
    } catch (...) {
      failure_ = std::current_exception();
      return false;
    }
  }
  Add(text,
      TextToken{token.token, token.log_prob, {token.likeliest.begin(), token.likeliest.end()}});
  return !stop_.stopped();
}

void TextStream::OnEnd(const engine::RequestResult& result) {
  std::exception_ptr error = failure_ ? failure_ : result.error;
  std::string text;
  if (error == nullptr && !stop_.stopped()) {
    // What was held back may complete a stop string, and is text otherwise.
    try {
      text = stop_.Push(decoder_.Flush());
      text += stop_.Flush();
    } catch (...) {
      error = std::current_exception();
    }
  }
  std::lock_guard lock(mutex_);
  next_.text += text;
  next_.usage = {result.prompt_tokens, result.cached_tokens, result.generated_tokens};
  error_ = error;
  if (error == nullptr)
    finish_ = stop_.stopped() ? FinishReason::kStopString : ReasonOf(result.end);
  UpdateDescriptor();
  wake_.notify_all();
}

void TextStream::MaskTokens(std::span<uint32_t> allowed) {
  if (options_.mask) options_.mask(allowed);
}

void TextStream::Add(const std::string& text, TextToken token) {
  std::lock_guard lock(mutex_);
  next_.text += text;
  next_.tokens.push_back(std::move(token));
  UpdateDescriptor();
  wake_.notify_all();
}

std::optional<TextEvent> TextStream::Next(std::optional<std::chrono::nanoseconds> timeout) {
  std::unique_lock lock(mutex_);
  const auto has_event = [this] { return HasEvent(); };
  if (!timeout) {
    wake_.wait(lock, has_event);
  } else if (!wake_.wait_for(lock, *timeout, has_event)) {
    return std::nullopt;
  }
  if (error_ && next_.text.empty() && next_.tokens.empty()) std::rethrow_exception(error_);
  TextEvent event = std::exchange(next_, {.usage = next_.usage});
  event.finish = finish_;
  UpdateDescriptor();
  return event;
}

int TextStream::Descriptor() {
  std::lock_guard lock(mutex_);
  if (!has_descriptor_) {
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
      throw Error("generate", "a descriptor to wait on: got '{}', want one",
                  std::system_category().message(errno));
    }
    descriptor_ = FileDescriptor(fd);
    has_descriptor_ = true;
    UpdateDescriptor();
  }
  return descriptor_.get();
}

void TextStream::UpdateDescriptor() {
  if (!has_descriptor_ || readable_ == HasEvent()) return;
  readable_ = !readable_;
  uint64_t count = 1;
  // Neither call can fail or block: the counter is 0 before the write and 1 before the read.
  const ssize_t bytes = readable_ ? write(descriptor_.get(), &count, sizeof(count))
                                  : read(descriptor_.get(), &count, sizeof(count));
  static_cast<void>(bytes);
}

}  // namespace sinter::generate

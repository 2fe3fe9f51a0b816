#include "engine/decode_loop.h"

#include <cstring>

#include "base/check.h"
#include "engine/logits_fault.h"
#include "engine/model.h"

namespace sinter::engine {

void DecodeLoop::Begin(const TokenChoice& choice, std::span<const int32_t> tokens,
                       uint32_t logits_row) {
  choice_ = choice;
  pending_.clear();
  tokens_.clear();
  gpu::Device& device = runner_.device();
  device.Upload(runner_.buffers().sampling, 0, std::as_bytes(std::span(&choice_.options, 1)));
  const std::vector<uint32_t> seen = SeenBits(model_.config().vocab_size, tokens);
  device.Upload(runner_.buffers().seen, 0, std::as_bytes(std::span(seen)));
  const auto length = static_cast<int64_t>(tokens.size());
  begin_ = length;
  runner_.UploadState(length, length, logits_row, 0, choice_.seed);
}

void DecodeLoop::StepFromLogits(StepProgram& decode) {
  runner_.Submit(chooser_.Record(decode, {.greedy = choice_.greedy}).choose, nullptr, 0, 0, 0);
  ReadBack();
}

void DecodeLoop::Step(StepProgram& decode, int64_t past) {
  chooser_.Step(decode, {.greedy = choice_.greedy}, past);
  ReadBack();
}

void DecodeLoop::ReadBack() {
  const int64_t place = steps() % runner_.cache()->capacity();
  pending_.push_back(
      runner_.device().DownloadAsync(runner_.buffers().ring, static_cast<uint64_t>(place) * 4, 4));
}

int32_t DecodeLoop::Token(int64_t step) {
  SINTER_CHECK(step >= 0 && step < steps(), "token {} of {}", step, steps());
  // Tokens are read up to the first fault, which stays the last.
  const auto check = [&](size_t index) {
    const auto fault = kernels::FaultOf(static_cast<uint32_t>(tokens_[index]));
    if (!fault) return;
    // Runs that went wrong give logits that mean nothing, and errors of their own.
    runner_.CheckRuns();
    throw LogitsError(model_, *fault, begin_ + static_cast<int64_t>(index));
  };
  while (static_cast<int64_t>(tokens_.size()) <= step) {
    if (!tokens_.empty()) check(tokens_.size() - 1);
    const std::vector<std::byte> bytes = pending_[tokens_.size()].Wait();
    int32_t token = 0;
    std::memcpy(&token, bytes.data(), sizeof(token));
    tokens_.push_back(token);
  }
  check(static_cast<size_t>(step));
  return tokens_[static_cast<size_t>(step)];
}

}  // namespace sinter::engine

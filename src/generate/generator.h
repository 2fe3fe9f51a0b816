// Text from a prompt: feeds a session, streams what it chooses, knows when to stop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sequence.h"
#include "text/tokenizer.h"

namespace sinter::generate {

// How tokens are chosen; what is left out comes from the model's genai_config.json.
struct GenerateOptions {
  std::optional<bool> do_sample;
  std::optional<double> temperature;         // > 0; 0 means greedy
  std::optional<int64_t> top_k;              // 0: off
  std::optional<double> top_p;               // 1: off
  std::optional<double> min_p;               // 0: off
  std::optional<double> repetition_penalty;  // 1: off
  uint32_t seed = 0;                         // the same seed gives the same text on the same device
  int64_t max_new_tokens = 0;                // 0: until the session's maximum length
  std::vector<std::string> stop;             // text that ends the generation and is not returned
  // Token ids that end it; those of the config where empty.
  std::vector<int64_t> eos_token_ids;
};

enum class FinishReason { kEndToken, kStopString, kMaxNewTokens, kMaxLength, kCancelled };
std::string_view FinishReasonName(FinishReason reason);

struct Generation {
  std::string text;
  std::vector<int32_t> tokens;  // as generated, an end token included
  FinishReason reason = FinishReason::kEndToken;
  int64_t prompt_tokens = 0;
  double prefill_seconds = 0;  // until the first token was known
  double decode_seconds = 0;   // from there to the last one

  // Of the tokens after the first; 0 where there are fewer than two.
  double decode_tokens_per_second() const;
};

class Generator {
 public:
  Generator(std::shared_ptr<engine::Sequence> session, text::Tokenizer tokenizer)
      : session_(std::move(session)), tokenizer_(std::move(tokenizer)) {}

  // Appends `prompt` to the session's sequence and generates behind it. `on_text` gets the text as
  // it becomes certain; it returns false to stop. Throws Error for options out of range and what
  // Session::Append throws.
  Generation Run(std::span<const int32_t> prompt, const GenerateOptions& options,
                 const std::function<bool(std::string_view)>& on_text);

  engine::Sequence& session() { return *session_; }
  const text::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  std::shared_ptr<engine::Sequence> session_;
  text::Tokenizer tokenizer_;
};

// The config's defaults with the options over them, as the GPU takes them. Throws Error for values
// out of range.
engine::TokenChoice ChooseBy(const model::GenaiConfig& config, const GenerateOptions& options);

}  // namespace sinter::generate

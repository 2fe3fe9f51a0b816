// Generates text from a prompt: feeds a session, streams the tokens as text, and decides when to
// stop.
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
#include "generate/finish_reason.h"
#include "text/tokenizer.h"

namespace sinter::generate {

// A sequence that goes on from the first `keep` tokens of another one. The tokens generated so far
// are the end of `append`.
struct ShorterSequence {
  int64_t keep = 0;
  std::vector<int32_t> append;  // at least one token
};

// How tokens are chosen and when the text ends. Options without a value come from the model's
// genai_config.json.
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
  // Token ids that end the generation; if empty, the config's.
  std::vector<int64_t> eos_token_ids;
  // If set, asked between the runs of a long prompt and after each token; true ends the generation
  // as FinishReason::kCancelled. Without it, a callback ends a generation, which needs text.
  std::function<bool()> cancelled;
  // If set, called with the tokens generated so far when the sequence is full. Returns how the
  // generation goes on in a shorter sequence, or nullopt if it ends there.
  std::function<std::optional<ShorterSequence>(const std::vector<int32_t>&)> make_room;
};

struct Generation {
  std::string text;
  std::vector<int32_t> tokens;  // all generated tokens, also the end token
  FinishReason reason = FinishReason::kEndToken;
  int64_t prompt_tokens = 0;
  double prefill_seconds = 0;  // from the call until the first token is known
  double decode_seconds = 0;   // from the first token to the last

  // Returns the rate of the tokens after the first; 0 if there are fewer than two tokens.
  double decode_tokens_per_second() const;
};

class Generator {
 public:
  Generator(std::shared_ptr<engine::Sequence> session, text::Tokenizer tokenizer)
      : session_(std::move(session)), tokenizer_(std::move(tokenizer)) {}

  // Appends `prompt` to the session's sequence and generates after it. `on_text` gets each piece of
  // text once no stop string or unfinished character can change it, and returns false to stop.
  // Throws Error for options out of range, and what Session::Append and `on_text` throw. If
  // `options.cancelled` ends it before all of the prompt has run, the session's sequence holds the
  // part that has. With `options.make_room` the tokens before the text may be others in the end.
  Generation Run(std::span<const int32_t> prompt, const GenerateOptions& options,
                 const std::function<bool(std::string_view)>& on_text);

  engine::Sequence& session() { return *session_; }
  const text::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  std::shared_ptr<engine::Sequence> session_;
  text::Tokenizer tokenizer_;
};

// Returns the choice of tokens for the GPU: the options, and the config's defaults for those
// without a value. Throws Error for values out of range.
engine::TokenChoice ChooseBy(const model::GenaiConfig& config, const GenerateOptions& options);

}  // namespace sinter::generate

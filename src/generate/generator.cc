#include "generate/generator.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "generate/stop_strings.h"

namespace sinter::generate {
namespace {

// Steps queued before a token is read. The GPU works on the next token while the CPU turns the last
// one into text.
constexpr int64_t kStepsAhead = 3;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double InRange(const char* what, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    throw Error("generate", "{}: got {}, want {} to {}", what, value, low, high);
  }
  return value;
}

// Appends the prompt in runs as long as the session's, so that `cancelled` is asked some ten times
// a second also while a slow adapter reads a long prompt. Returns false if it was true.
bool AppendUnlessCancelled(engine::Sequence& session, std::span<const int32_t> prompt,
                           const std::function<bool()>& cancelled) {
  constexpr double kSecondsUnasked = 0.1;
  const bool exact = session.model()->run_form().exact;
  size_t pieces = 1;  // runs queued before their end is waited for
  while (cancelled && !exact) {
    const size_t chunk = static_cast<size_t>(session.chunk()) * pieces;
    if (prompt.size() <= chunk) break;
    const auto start = std::chrono::steady_clock::now();
    session.Append(prompt.first(chunk));
    prompt = prompt.subspan(chunk);
    session.Wait();
    if (cancelled()) return false;
    if (SecondsSince(start) * 2 < kSecondsUnasked) pieces *= 2;
  }
  session.Append(prompt);
  return true;
}

}  // namespace

double Generation::decode_tokens_per_second() const {
  return tokens.size() < 2 || decode_seconds <= 0
             ? 0
             : static_cast<double>(tokens.size() - 1) / decode_seconds;
}

engine::TokenChoice ChooseBy(const model::GenaiConfig& config, const GenerateOptions& options) {
  const model::SearchDefaults& defaults = config.search;
  engine::TokenChoice choice;
  const double temperature =
      InRange("temperature", options.temperature.value_or(defaults.temperature), 0, 1e6);
  // A temperature in the options asks for sampling, as in other tools.
  const bool sample =
      options.do_sample.value_or(defaults.do_sample || options.temperature.has_value());
  choice.greedy = !sample || temperature == 0;
  choice.seed = options.seed;
  choice.options.temperature = static_cast<float>(temperature);
  choice.options.top_k = static_cast<uint32_t>(
      InRange("top_k", static_cast<double>(options.top_k.value_or(defaults.top_k)), 0, 1 << 30));
  choice.options.top_p =
      static_cast<float>(InRange("top_p", options.top_p.value_or(defaults.top_p), 0, 1));
  choice.options.min_p =
      static_cast<float>(InRange("min_p", options.min_p.value_or(defaults.min_p), 0, 1));
  choice.options.repetition_penalty = static_cast<float>(
      InRange("repetition_penalty",
              options.repetition_penalty.value_or(defaults.repetition_penalty), 1e-3, 1e3));
  const std::vector<int64_t>& eos =
      options.eos_token_ids.empty() ? config.eos_token_ids : options.eos_token_ids;
  // More end tokens than fit here still end the text: the GPU only notes the end, and the CPU
  // compares every token.
  for (const int64_t id : eos) {
    if (choice.options.eos_count == kernels::kMaxEosTokens) break;
    choice.options.eos_tokens[choice.options.eos_count++] = static_cast<uint32_t>(id);
  }
  return choice;
}

Generation Generator::Run(std::span<const int32_t> prompt, const GenerateOptions& options,
                          const std::function<bool(std::string_view)>& on_text) {
  const model::GenaiConfig& config = session_->config();
  engine::TokenChoice choice = ChooseBy(config, options);
  if (options.max_new_tokens < 0) {
    throw Error("generate", "max_new_tokens: got {}, want 0 (no limit) or more",
                options.max_new_tokens);
  }
  const std::vector<int64_t>& eos =
      options.eos_token_ids.empty() ? config.eos_token_ids : options.eos_token_ids;

  Generation result;
  result.prompt_tokens = static_cast<int64_t>(prompt.size());
  const auto start = std::chrono::steady_clock::now();
  if (!AppendUnlessCancelled(*session_, prompt, options.cancelled)) {
    result.reason = FinishReason::kCancelled;
    return result;
  }
  bool generating = false;
  // Tokens of the generation under way that belong to the text, and their upper bound.
  int64_t kept = 0, limit = 0;
  const auto begin = [&] {
    session_->BeginGeneration(choice);
    generating = true;
    kept = 0;
    const int64_t room = session_->max_length() - session_->length();
    const int64_t wanted = options.max_new_tokens - static_cast<int64_t>(result.tokens.size());
    limit = options.max_new_tokens > 0 ? std::min(wanted, room) : room;
    result.reason = limit < room ? FinishReason::kMaxNewTokens : FinishReason::kMaxLength;
  };
  begin();

  text::StreamDecoder decoder(tokenizer_, /*skip_special=*/true);
  StopStrings stop(options.stop);
  const auto emit = [&](const std::string& text) {
    result.text += text;
    return text.empty() || !on_text || on_text(text);
  };
  auto first = start;
  double refill_seconds = 0;
  bool done = false;
  // Goes on in a shorter sequence; returns false if there is none.
  const auto make_room = [&] {
    if (!options.make_room || result.reason != FinishReason::kMaxLength) return false;
    const std::optional<ShorterSequence> shorter = options.make_room(result.tokens);
    if (!shorter) return false;
    const auto begun = std::chrono::steady_clock::now();
    generating = false;
    session_->EndGeneration(kept);
    session_->Rewind(shorter->keep);
    if (AppendUnlessCancelled(*session_, shorter->append, options.cancelled)) {
      // The draws of the steps from 0 on are used up.
      ++choice.seed;
      begin();
    } else {
      result.reason = FinishReason::kCancelled;
      done = true;
    }
    refill_seconds += SecondsSince(begun);
    return true;
  };
  try {
    while (!done) {
      if (kept >= limit) {
        if (!make_room()) break;
        continue;
      }
      while (session_->steps() < std::min(limit, kept + kStepsAhead)) session_->Step();
      const int32_t token = session_->Token(kept++);
      if (result.tokens.empty()) {
        result.prefill_seconds = SecondsSince(start);
        first = std::chrono::steady_clock::now();
      }
      result.tokens.push_back(token);
      if (std::find(eos.begin(), eos.end(), token) != eos.end()) {
        result.reason = FinishReason::kEndToken;
        done = true;
        continue;
      }
      const bool go_on = emit(stop.Push(decoder.Push(token)));
      if (stop.stopped()) {
        result.reason = FinishReason::kStopString;
        done = true;
      } else if (!go_on || (options.cancelled && options.cancelled())) {
        result.reason = FinishReason::kCancelled;
        done = true;
      }
    }
    result.decode_seconds = SecondsSince(first) - refill_seconds;
    if (!stop.stopped()) {
      emit(stop.Push(decoder.Flush()));
      emit(stop.Flush());
    }
  } catch (...) {
    if (generating) session_->AbandonGeneration();
    throw;
  }
  if (generating) session_->EndGeneration(kept);
  return result;
}

}  // namespace sinter::generate

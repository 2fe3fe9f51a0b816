#include "engine/request.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "kernels/sample/step_state.h"

namespace sinter::engine {

kernels::LogitAdjustments AdjustmentsOf(const Request& request) {
  kernels::LogitAdjustments adjustments;
  adjustments.presence_penalty = request.presence_penalty;
  adjustments.frequency_penalty = request.frequency_penalty;
  adjustments.min_tokens = static_cast<uint32_t>(std::min<int64_t>(request.min_tokens, INT32_MAX));
  adjustments.has_allowed = request.masks ? 1 : 0;
  for (const TokenBias& each : request.logit_bias)
    adjustments.biases[adjustments.bias_count++] = {static_cast<uint32_t>(each.token), each.bias};
  return adjustments;
}

ChoiceForm FormOf(const Request& request) {
  ChoiceForm form;
  form.greedy = request.choice.greedy;
  form.adjusts = request.min_tokens > 0 || !request.logit_bias.empty() ||
                 request.presence_penalty != 0 || request.frequency_penalty != 0 || request.masks;
  if (request.log_probs) form.log_probs = static_cast<uint32_t>(*request.log_probs);
  return form;
}

void CheckRequest(const Request& request, const model::GenaiConfig& config, int64_t max_length) {
  const auto tokens = static_cast<int64_t>(request.prompt.size());
  SINTER_CHECK(request.listener != nullptr, "request without a listener");
  if (tokens == 0) throw Error("engine", "prompt: got no tokens, want at least one");
  if (tokens >= max_length) {
    throw Error("engine",
                "prompt: got {} tokens, want at most {}: sequences of this engine have up to {} "
                "tokens, and one at least is generated",
                tokens, max_length - 1, max_length);
  }
  const auto check_token = [&](const char* what, int32_t token) {
    if (token >= 0 && token < config.vocab_size) return;
    throw Error("engine", "{}: got {}, want 0 to {} (the model's vocabulary)", what, token,
                config.vocab_size - 1);
  };
  for (const int32_t token : request.prompt) check_token("token", token);
  for (const TokenBias& each : request.logit_bias) check_token("token of a bias", each.token);
  for (const int32_t token : request.end_tokens) {
    // A model's config may name end tokens that its vocabulary lacks.
    if (token < 0) check_token("end token", token);
  }
  if (request.max_tokens < 0)
    throw Error("engine", "most tokens: got {}, want at least 0", request.max_tokens);
  if (request.min_tokens < 0)
    throw Error("engine", "least tokens: got {}, want at least 0", request.min_tokens);
  if (request.max_tokens > 0 && request.min_tokens > request.max_tokens) {
    throw Error("engine", "least tokens: got {}, want at most {}, the most tokens",
                request.min_tokens, request.max_tokens);
  }
  if (request.min_tokens > 0 && request.end_tokens.size() > kernels::kMaxEosTokens) {
    throw Error("engine", "end tokens: got {} with a least number of tokens, want at most {}",
                request.end_tokens.size(), kernels::kMaxEosTokens);
  }
  if (request.log_probs && (*request.log_probs < 0 || *request.log_probs > kMaxLogProbs)) {
    throw Error("engine", "log probabilities: got {} likeliest tokens, want 0 to {}",
                *request.log_probs, kMaxLogProbs);
  }
  if (request.logit_bias.size() > kernels::kMaxLogitBiases) {
    throw Error("engine", "logit bias: got {} tokens, want at most {}", request.logit_bias.size(),
                kernels::kMaxLogitBiases);
  }
  kernels::CheckLogitAdjustments(AdjustmentsOf(request), static_cast<uint32_t>(config.vocab_size));
}

}  // namespace sinter::engine

// One request to an engine: a prompt, how tokens are chosen after it, and who gets them.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/decode_loop.h"
#include "engine/token_chooser.h"
#include "kernels/adjust_logits/adjust_logits.h"
#include "model/genai_config.h"

namespace sinter::engine {

// Why a request ended.
enum class RequestEnd {
  kEndToken,   // one of Request::end_tokens was chosen
  kListener,   // the listener wanted no more
  kMaxTokens,  // Request::max_tokens were generated
  kMaxLength,  // the sequence is as long as the engine allows
  kCancelled,
  kError,
};

struct RequestResult {
  RequestEnd end = RequestEnd::kError;
  std::exception_ptr error;      // for kError
  int64_t prompt_tokens = 0;     // tokens of the prompt
  int64_t cached_tokens = 0;     // tokens of the prompt whose keys and values were there already
  int64_t generated_tokens = 0;  // including the end token
};

struct TokenLogProb {
  int32_t token = 0;
  float log_prob = 0;  // natural logarithm of the token's probability in the model's distribution
};

// A token that was chosen.
struct ChosenToken {
  int32_t token = 0;
  // Only for requests with log_probs: of the token, and of the likeliest tokens in descending
  // order. They come from the logits as the model gives them, before any option changes them.
  std::optional<float> log_prob;
  std::span<const TokenLogProb> likeliest;
};

// Gets a request's tokens. The engine's thread calls it, one call at a time: an implementation must
// return soon and must not throw. It may call Engine::Submit and Engine::Cancel.
class RequestListener {
 public:
  virtual ~RequestListener() = default;
  // Gets the next token, also an end token. Returns whether to go on.
  virtual bool OnToken(const ChosenToken& token) = 0;
  // Called once, after the last token, maybe before Submit has returned.
  virtual void OnEnd(const RequestResult& result) = 0;
  // Called before each token is chosen, for requests with `masks`: sets which tokens may be chosen.
  // Bit t % 32 of word t / 32 stands for token t. All bits are set before.
  virtual void MaskTokens(std::span<uint32_t> allowed) { static_cast<void>(allowed); }
};

// A number that is added to the logit of a token.
struct TokenBias {
  int32_t token = 0;
  float bias = 0;
};

inline constexpr int kMaxLogProbs = 20;

struct Request {
  std::vector<int32_t> prompt;  // at least one token
  TokenChoice choice;
  std::vector<int32_t> end_tokens;
  // Most tokens to generate; 0 for as many as the engine's sequences may have. The request waits
  // until the KV cache has room for prompt and generated tokens.
  int64_t max_tokens = 0;
  int64_t min_tokens = 0;  // no end token is chosen before
  std::vector<TokenBias> logit_bias;
  // Subtracted from the logit of a generated token: once, and for each time that it was generated.
  float presence_penalty = 0, frequency_penalty = 0;
  // Number of likeliest tokens whose log probabilities are reported with that of each token, 0 to
  // kMaxLogProbs.
  std::optional<int> log_probs;
  // Whether the listener masks tokens. Then steps wait for each other, of all sequences.
  bool masks = false;
  // Requests of one client, or without one, share what the engine gives each client.
  std::string client;
  int priority = 0;  // within a client, higher ones come first
  std::shared_ptr<RequestListener> listener;
};

// Returns the form in which the request's tokens can be chosen.
ChoiceForm FormOf(const Request& request);
// Returns the request's options in the kernels' form. The request has at most
// kernels::kMaxLogitBiases biases.
kernels::LogitAdjustments AdjustmentsOf(const Request& request);

// Throws Error for a request that an engine with sequences of up to `max_length` tokens can never
// run.
void CheckRequest(const Request& request, const model::GenaiConfig& config, int64_t max_length);

}  // namespace sinter::engine

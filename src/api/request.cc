// Requests of the C library.

#include <chrono>
#include <limits>
#include <utility>

#include "api/call.h"
#include "api/handles.h"

namespace sinter::api {
namespace {

// Returns the elements of an array of the caller's.
template <typename T>
std::span<const T> ArrayOf(const T* first, size_t count, std::string_view name) {
  if (count > 0) Required(first, name);
  return {first, count};
}

template <typename T>
std::optional<T> UnlessDefault(T value) {
  // NaN is no default, and refused later.
  if (value < 0) return std::nullopt;
  return value;
}

generate::TextRequest ToRequest(const sinter_request_options& given) {
  generate::TextRequest request;
  if (given.prompt != nullptr) request.prompt = given.prompt;
  for (const int32_t token : ArrayOf(given.tokens, given.token_count, "tokens"))
    request.tokens.push_back(token);
  if (given.conversation != nullptr)
    request.messages = ReadConversation(*given.conversation, request.template_options);

  generate::GenerateOptions& options = request.options;
  options.max_new_tokens = given.max_tokens;
  for (const char* text : ArrayOf(given.stop, given.stop_count, "stop")) {
    options.stop.emplace_back(&Required(text, "stop"));
    if (options.stop.back().empty())
      throw InvalidArgument("api", "stop: got an empty text, want one with characters");
  }
  for (const int32_t token : ArrayOf(given.end_tokens, given.end_token_count, "end_tokens"))
    options.eos_token_ids.push_back(token);
  options.temperature = UnlessDefault(given.temperature);
  options.top_k = UnlessDefault(given.top_k);
  options.top_p = UnlessDefault(given.top_p);
  options.min_p = UnlessDefault(given.min_p);
  options.repetition_penalty = UnlessDefault(given.repetition_penalty);
  options.seed = given.seed;

  engine::Request& more = request.more;
  more.min_tokens = given.min_tokens;
  more.presence_penalty = given.presence_penalty;
  more.frequency_penalty = given.frequency_penalty;
  for (const sinter_token_bias& bias :
       ArrayOf(given.logit_bias, given.logit_bias_count, "logit_bias")) {
    more.logit_bias.push_back({bias.token, bias.bias});
  }
  if (given.log_probs < -1) {
    throw InvalidArgument("api", "log_probs: got {}, want -1 or 0 to {}", given.log_probs,
                          engine::kMaxLogProbs);
  }
  if (given.log_probs >= 0) more.log_probs = given.log_probs;
  if (given.client != nullptr) more.client = given.client;
  more.priority = given.priority;
  if (given.mask != nullptr) {
    request.mask = [call = given.mask, user = given.mask_user](std::span<uint32_t> allowed) {
      call(user, allowed.data(), allowed.size());
    };
  }
  return request;
}

sinter_finish FinishOf(std::optional<generate::FinishReason> reason) {
  if (!reason) return SINTER_FINISH_NONE;
  switch (*reason) {
    case generate::FinishReason::kEndToken:
      return SINTER_FINISH_END_TOKEN;
    case generate::FinishReason::kStopString:
      return SINTER_FINISH_STOP;
    case generate::FinishReason::kMaxNewTokens:
      return SINTER_FINISH_MAX_TOKENS;
    case generate::FinishReason::kMaxLength:
      return SINTER_FINISH_MAX_LENGTH;
    case generate::FinishReason::kCancelled:
      break;
  }
  return SINTER_FINISH_CANCELLED;
}

// Keeps an event and returns it as the caller sees it.
sinter_event Keep(sinter_request& request, generate::TextEvent event) {
  request.event = std::move(event);
  const std::vector<generate::TextToken>& tokens = request.event.tokens;
  request.likeliest.assign(tokens.size(), {});
  request.tokens.clear();
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::vector<sinter_log_prob>& likeliest = request.likeliest[i];
    for (const engine::TokenLogProb& one : tokens[i].likeliest)
      likeliest.push_back({one.token, one.log_prob});
    request.tokens.push_back({tokens[i].token,
                              tokens[i].log_prob.value_or(std::numeric_limits<float>::quiet_NaN()),
                              likeliest.data(), likeliest.size()});
  }
  sinter_event seen = SINTER_EVENT_INIT;
  seen.text = request.event.text.c_str();
  seen.text_bytes = request.event.text.size();
  seen.tokens = request.tokens.data();
  seen.token_count = request.tokens.size();
  seen.finish = FinishOf(request.event.finish);
  seen.prompt_tokens = request.event.usage.prompt_tokens;
  seen.cached_tokens = request.event.usage.cached_tokens;
  seen.generated_tokens = request.event.usage.generated_tokens;
  return seen;
}

}  // namespace
}  // namespace sinter::api

using namespace sinter;       // NOLINT(google-build-using-namespace): the functions are C's
using namespace sinter::api;  // NOLINT(google-build-using-namespace)

sinter_status sinter_engine_submit(sinter_engine* engine, const sinter_request_options* options,
                                   sinter_request** request, sinter_error** error) {
  return Guard(error, [&] {
    Required(request, "request");
    Required(options, "options");
    const auto given =
        ReadOptions(options, sinter_request_options SINTER_REQUEST_OPTIONS_INIT, "options");
    auto made = std::make_unique<sinter_request>();
    made->answer = Required(engine, "engine").engine->Submit(ToRequest(given));
    *request = made.release();
  });
}

sinter_status sinter_request_next(sinter_request* request, int64_t timeout_ms, sinter_event* event,
                                  sinter_error** error) {
  return Guard(error, [&] {
    sinter_request& given = Required(request, "request");
    CheckedSize(Required(event, "event").size, sizeof(sinter_event), "event");
    // Ten years are as good as for ever, and fit the clock.
    constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24 * 3650);
    std::optional<std::chrono::nanoseconds> timeout;
    if (timeout_ms >= 0) timeout = std::min(std::chrono::milliseconds(timeout_ms), kLongest);
    std::optional<generate::TextEvent> next = given.answer->Next(timeout);
    if (!next) return static_cast<sinter_status>(SINTER_TIMEOUT);
    WriteInfo(event, Keep(given, *std::move(next)), "event");
    return static_cast<sinter_status>(SINTER_OK);
  });
}

sinter_status sinter_request_descriptor(sinter_request* request, int* descriptor,
                                        sinter_error** error) {
  return Guard(error, [&] {
    Required(descriptor, "descriptor") = Required(request, "request").answer->Descriptor();
  });
}

void sinter_request_cancel(sinter_request* request) {
  if (request != nullptr) request->answer->Cancel();
}

void sinter_request_free(sinter_request* request) { delete request; }

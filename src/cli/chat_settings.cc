#include "cli/chat_settings.h"

#include <fmt/core.h>

#include <optional>

#include "base/error.h"
#include "cli/failure.h"

namespace sinter::cli {

generate::GenerateOptions WithSetting(const model::GenaiConfig& config,
                                      generate::GenerateOptions options,
                                      const generate::GenerateOptions& first,
                                      const SettingChange& change) {
  const auto number = [&](const std::optional<double>& standard) {
    return change.value ? change.value : standard;
  };
  const auto count = [&](const std::optional<int64_t>& standard) {
    return change.value ? std::optional(static_cast<int64_t>(*change.value)) : standard;
  };
  switch (change.setting) {
    case Setting::kTemperature:
      options.temperature = number(first.temperature);
      options.do_sample = change.value ? std::optional(true) : first.do_sample;
      break;
    case Setting::kTopK:
      options.top_k = count(first.top_k);
      break;
    case Setting::kTopP:
      options.top_p = number(first.top_p);
      break;
    case Setting::kMinP:
      options.min_p = number(first.min_p);
      break;
    case Setting::kRepetitionPenalty:
      options.repetition_penalty = number(first.repetition_penalty);
      break;
    case Setting::kSeed:
      options.seed = static_cast<uint32_t>(*count(first.seed));
      break;
    case Setting::kMaxNewTokens:
      options.max_new_tokens = *count(first.max_new_tokens);
      break;
  }
  try {
    generate::ChooseBy(config, options);
  } catch (const Error& error) {
    // The message names the setting and its range.
    throw Error("chat", "/set {}", ToFailure(error).message);
  }
  return options;
}

std::string SettingsText(const model::GenaiConfig& config,
                         const generate::GenerateOptions& options) {
  const engine::TokenChoice choice = generate::ChooseBy(config, options);
  const auto& chosen = choice.options;
  const auto line = [](Setting setting, const auto& value) {
    return fmt::format("  {}={}\n", SettingName(setting), value);
  };
  const std::string always = line(Setting::kRepetitionPenalty, chosen.repetition_penalty) +
                             line(Setting::kMaxNewTokens, options.max_new_tokens);
  if (choice.greedy) {
    return fmt::format(
        "Greedy: the most probable token is chosen (set a temperature to sample)\n{}"
        "No effect while greedy: top_k={} top_p={} min_p={} seed={}\n",
        always, chosen.top_k, chosen.top_p, chosen.min_p, options.seed);
  }
  return "Sampling:\n" + line(Setting::kTemperature, chosen.temperature) +
         line(Setting::kTopK, chosen.top_k) + line(Setting::kTopP, chosen.top_p) +
         line(Setting::kMinP, chosen.min_p) + line(Setting::kSeed, options.seed) + always;
}

}  // namespace sinter::cli

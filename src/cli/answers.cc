#include "cli/answers.h"

namespace sinter::cli {

AnswerFigures FiguresOf(const generate::Generation& generation) {
  return {generation.prompt_tokens, generation.prefill_seconds,
          static_cast<int64_t>(generation.tokens.size()), generation.decode_tokens_per_second(),
          generate::FinishReasonName(generation.reason)};
}

std::optional<uint32_t> SeedOf(const model::GenaiConfig& config,
                               const generate::GenerateOptions& options) {
  if (generate::ChooseBy(config, options).greedy) return std::nullopt;
  return options.seed;
}

}  // namespace sinter::cli

#include "cli/figures.h"

#include <fmt/core.h>

namespace sinter::cli {

std::string CountText(int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string FiguresText(const AnswerFigures& figures) {
  const std::string rate = figures.tokens_per_second > 0
                               ? fmt::format(", {:.1f} tokens/s", figures.tokens_per_second)
                               : "";
  return fmt::format("prompt {} in {:.3f} s; answer {}{}; {}",
                     CountText(figures.prompt_tokens, "token"), figures.prompt_seconds,
                     CountText(figures.tokens, "token"), rate, figures.finish_reason);
}

}  // namespace sinter::cli

// Figures of an answer as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sinter::cli {

struct AnswerFigures {
  int64_t prompt_tokens = 0;  // tokens that ran before the answer
  double prompt_seconds = 0;
  int64_t tokens = 0;
  double tokens_per_second = 0;  // 0 if it is not known
  std::string_view finish_reason;
};

// Returns the number and the noun, which gets an s unless the number is 1.
std::string CountText(int64_t count, std::string_view noun);

// Returns "prompt P tokens in S s; answer N tokens, R tokens/s; REASON", without a rate that is not
// known.
std::string FiguresText(const AnswerFigures& figures);

}  // namespace sinter::cli

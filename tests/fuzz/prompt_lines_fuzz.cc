// Fuzz target: any bytes as a file of prompts for `sinter run --batch` must give requests or
// failures that name their lines, and as a file of earlier answers ids or an Error.
//
// Seed: seeds/prompts.jsonl.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "cli/prompt_lines.h"
#include "fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sinter;  // NOLINT: a program of one screen
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  int64_t number = 0;
  for (const cli::PromptLine& line : cli::ReadPromptLines(text)) {
    Require(line.number > number, "lines out of order");
    number = line.number;
    if (line.failure) continue;
    const int given =
        (line.prompt ? 1 : 0) + (line.tokens.empty() ? 0 : 1) + (line.messages.is_array() ? 1 : 0);
    Require(given == 1, "a request without a prompt, or with two");
    Require(line.max_tokens.value_or(1) > 0, "max_tokens is out of range");
  }
  try {
    const cli::EarlierAnswers answers = cli::ReadAnswers(text, "answers.jsonl");
    Require(answers.whole_bytes <= size, "more whole lines than there is text");
  } catch (const Error& error) {
    Require(std::string_view(error.what()).find("answers.jsonl") != std::string_view::npos,
            "an error that does not name the file");
  }
  return 0;
}

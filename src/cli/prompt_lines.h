// File of prompts for `sinter run --batch`: JSON Lines, one request each. Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/failure.h"

namespace sinter::cli {

// A request as its line gives it. Members without a value were not given, or were null.
struct PromptLine {
  int64_t number = 0;         // of the line, from 1
  nlohmann::ordered_json id;  // a string or an integer; null if there is none
  // Why the line cannot be answered. The members below then mean nothing.
  std::optional<Failure> failure;

  // One of the three, of which the others are empty.
  std::optional<std::string> prompt;
  std::vector<int32_t> tokens;
  nlohmann::ordered_json messages;  // an array whose elements are not checked

  bool raw = false;  // whether the prompt is continued as it is, without the chat template
  std::optional<std::string> system;             // for prompts
  nlohmann::ordered_json tools;                  // not checked
  std::map<std::string, std::string> arguments;  // of the chat template, as JSON

  std::optional<int64_t> max_tokens, min_tokens, top_k;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  double presence_penalty = 0, frequency_penalty = 0;
  std::optional<uint32_t> seed;
  std::optional<std::vector<std::string>> stop;
  std::vector<std::pair<int32_t, float>> logit_bias;
};

// Reads a line: an object with `prompt` or `messages` and options, or a line of OpenAI's batch
// files, which has these in `body`. Names the line and the field in `failure` if it is anything
// else, or has a field that would have no effect.
PromptLine ReadPromptLine(std::string_view text, int64_t number);

// Reads all lines that are not blank. A line whose id an earlier one has fails.
std::vector<PromptLine> ReadPromptLines(std::string_view text);

// Answers that an earlier run has written.
struct EarlierAnswers {
  // Ids of which a line is an answer, not an error, as JSON texts.
  std::vector<std::string> answered;
  // Bytes of the text that are whole lines; what follows is a line that was cut off.
  size_t whole_bytes = 0;
};
// Reads the lines that `sinter run --batch` wrote to `file`. Throws Error that names the file and
// the line if there is anything else.
EarlierAnswers ReadAnswers(std::string_view text, std::string_view file);

}  // namespace sinter::cli

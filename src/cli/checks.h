// Checks of options' values while the command line is parsed. A value that fails is wrong usage:
// one line "--option: got X, want Y", exit code 2.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::cli {

// Accepts decimal whole numbers within [low, high]. CLI11 by itself takes a number that does not
// fit its type, and takes an empty text as none.
CLI::Validator WholeNumber(int64_t low, int64_t high = std::numeric_limits<int64_t>::max());

// Accepts numbers within [low, high], no NaN and no infinity.
CLI::Validator Number(double low, double high = std::numeric_limits<double>::max());

// Accepts these words. Completion and help list them (Choices()).
CLI::Validator OneOf(std::vector<std::string> words);

// Accepts any text but "".
CLI::Validator NotEmpty();

// Accepts UTF-8 text. Names the first byte that is wrong.
CLI::Validator Utf8Text();
// Returns which byte of the text is no UTF-8, as an error says it; "" if there is none.
std::string Utf8Problem(std::string_view text);
// Throws Error that names the first byte that is wrong if the text is not UTF-8. `what` is where it
// came from.
void CheckUtf8(std::string_view text, std::string_view what);

// Returns the words of an option's OneOf(), empty if it has none.
std::vector<std::string> Choices(const CLI::Option& option);

}  // namespace sinter::cli

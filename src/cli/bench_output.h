// Output of the figures of sinter bench.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "generate/benchmark.h"

namespace sinter::cli {

// Opens a file for writing, and closes it. Throw Error if it cannot be written.
std::ofstream OpenOutput(const std::string& file);
void CloseOutput(std::ofstream& stream, const std::string& file);

// Returns the median and the range as text, such as "1234 (1200..1300)", each number with at least
// three digits.
std::string SpreadText(const generate::Spread& spread, double scale = 1);
nlohmann::json SpreadJson(const generate::Spread& spread);

}  // namespace sinter::cli

#include "cli/bench_output.h"

#include <fmt/core.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace sinter::cli {

std::ofstream OpenOutput(const std::string& file) {
  std::ofstream stream(file, std::ios::binary);
  if (!stream) {
    throw Error("bench", "{}: got '{}', want a file that can be written", file,
                std::strerror(errno));
  }
  return stream;
}

void CloseOutput(std::ofstream& stream, const std::string& file) {
  stream.close();
  if (!stream) throw Error("bench", "{}: got a write error, want free space for the file", file);
}

std::string SpreadText(const generate::Spread& spread, double scale) {
  const auto number = [scale](double value) {
    value *= scale;
    return fmt::format("{:.{}f}", value, value >= 1000 ? 0 : value >= 10 ? 1 : 3);
  };
  return fmt::format("{} ({}..{})", number(spread.median), number(spread.min), number(spread.max));
}

nlohmann::json SpreadJson(const generate::Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

}  // namespace sinter::cli

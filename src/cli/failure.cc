#include "cli/failure.h"

#include <fmt/core.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "base/excerpt.h"

namespace sinter::cli {
namespace {

constexpr std::string_view kSignalArea = "signal";

// Escapes control characters. Names in an error's text come from files and must not move the cursor
// or break the line.
std::string Printable(std::string_view text, bool keep_newlines) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= 0x20 && byte != 0x7f) || (keep_newlines && c == '\n')) {
      result += c;
    } else {
      result += fmt::format("\\x{:02x}", byte);
    }
  }
  return result;
}

}  // namespace

Failure ToFailure(const std::exception& error) {
  const std::string text = error.what();
  const auto* known = dynamic_cast<const Error*>(&error);
  const bool bug = dynamic_cast<const BugError*>(&error) != nullptr;
  const size_t end = text.find("] ");
  if ((known == nullptr && !bug) || !text.starts_with('[') || end == std::string::npos)
    return {"cli", text};
  return {text.substr(1, end - 1), text.substr(end + 2), 1,
          bug || (known != nullptr && known->multi_line())};
}

Failure SignalFailure(int code) {
  const char* name = code == 128 + SIGINT    ? "SIGINT (Ctrl-C)"
                     : code == 128 + SIGTERM ? "SIGTERM"
                                             : "SIGHUP";
  return {std::string(kSignalArea), fmt::format("ended by {}", name), code};
}

bool AsksForJson(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--") return false;
    if (argument == "--json" || argument == "--json=true") return true;
  }
  return false;
}

std::string FailureText(const Failure& failure, bool json) {
  // Compilers' messages, which keep their lines, may be long; names in files may be megabytes.
  const std::string message = CutMiddle(failure.message, failure.multi_line ? 100'000 : 4000);
  if (json) {
    const nlohmann::json error = {
        {"area", failure.area}, {"message", message}, {"code", failure.code}};
    return nlohmann::json{{"error", error}}.dump(-1, ' ', false,
                                                 nlohmann::json::error_handler_t::replace) +
           "\n";
  }
  if (failure.area == kSignalArea) return "";
  return fmt::format("sinter: [{}] {}\n", failure.area, Printable(message, failure.multi_line));
}

}  // namespace sinter::cli

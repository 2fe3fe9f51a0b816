// Wrong usage: its error and its texts.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace sinter::cli {

// Error thrown when the arguments are wrong, which ends the program with exit code 2. Checks of
// single values belong to the parser (checks.h); this is for what only the command can tell, such
// as a length beyond the model's context.
class UsageError : public Error {
 public:
  template <typename... Args>
  explicit UsageError(fmt::format_string<Args...> format, Args&&... args)
      : Error("usage", format, std::forward<Args>(args)...) {}
};

// Returns one line that says what was wrong with the arguments, in Sinter's words where CLI11's
// name no argument or no way out. An option that does not exist comes first, with the nearest one's
// name.
std::string UsageText(const CLI::App& app, const CLI::ParseError& error);

// Returns the arguments as the parser expects them: '_' in the name of an option of the subcommand
// becomes '-' (--top_p is --top-p).
std::vector<std::string> NormalizedArguments(const CLI::App& app, std::vector<std::string> args);

// Finishes the options of all subcommands, after they were added: values must not be empty (but
// prompts and system messages may), and `-m MODEL` gives the positional MODEL by name.
void PrepareCommands(CLI::App& app);

}  // namespace sinter::cli

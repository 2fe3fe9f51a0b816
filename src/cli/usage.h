// Texts for wrong usage.
#pragma once

#include <string>

#include "cli/common.h"

namespace sinter::cli {

// Returns one line that says what was wrong with the arguments, in Sinter's words where CLI11's
// name no argument or no way out. An option that does not exist comes first, with the nearest one's
// name.
std::string UsageText(const CLI::App& app, const CLI::ParseError& error);

}  // namespace sinter::cli

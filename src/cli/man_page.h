// The manual page, made from the commands as the parser knows them.
#pragma once

#include <string>
#include <string_view>

#include "cli/command_tree.h"

namespace sinter::cli {

// Returns the page sinter(1) in roff with the macros of man(7). `version` and `date` (YYYY-MM-DD)
// stand at its edges.
std::string ManPage(const CommandInfo& program, std::string_view version, std::string_view date);

}  // namespace sinter::cli

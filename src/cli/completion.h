// Completion scripts for shells, made from the commands as the parser knows them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/command_tree.h"

namespace sinter::cli {

// Returns the names of the shells: bash, zsh, fish.
std::vector<std::string> Shells();

// Returns the script that completes the commands, their options, the words that options accept, and
// files and folders where they want some. `shell` is one of Shells().
std::string CompletionScript(const CommandInfo& program, std::string_view shell);

}  // namespace sinter::cli

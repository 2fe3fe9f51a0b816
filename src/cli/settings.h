// Gives options that the command line leaves out the values of SINTER_* variables and config.json.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/config_file.h"

namespace sinter::cli {

// Sets the options of `command`, a subcommand of `app`, that were not given: from the variables
// first, then from the file's section of that name, then from its section `defaults`. An option
// that excludes one that was given, or that came from an earlier place, stays unset. Options that
// are not configurable() stay unset, too.
//
// Throws Error("settings") that names the variable or the place in the file for a value that the
// option refuses, and for every section and option of the file that does not exist.
void ApplySettings(const CLI::App& app, CLI::App& command, const ConfigFile& config);

// Returns whether a variable or the file gives --json to the command that the arguments name, so
// that wrong usage is told as JSON, too. Settings that are wrong give nothing.
bool SettingAsksForJson(const CLI::App& app, const std::vector<std::string>& args);

// Returns a line about each variable in `environment` ("NAME=VALUE") that begins with SINTER_, is
// no setting, and is near to one.
std::vector<std::string> MistypedVariables(const CLI::App& app,
                                           const std::vector<std::string>& environment);

}  // namespace sinter::cli

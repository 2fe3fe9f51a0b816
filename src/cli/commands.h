// The subcommands.
#pragma once

#include <CLI/CLI.hpp>

namespace sinter::cli {

// Each function adds one subcommand and its options to the parser. The subcommand runs in its
// callback, when the command line names it.
void AddRun(CLI::App& app);
void AddChat(CLI::App& app);
void AddInspect(CLI::App& app);
void AddDevices(CLI::App& app);
void AddVerify(CLI::App& app);
void AddConvert(CLI::App& app);
void AddBench(CLI::App& app);
void AddTune(CLI::App& app);
void AddTokenize(CLI::App& app);
void AddList(CLI::App& app);
void AddRemove(CLI::App& app);
// Adds help, completion and man, which describe the other commands: they come last.
void AddManual(CLI::App& app);

}  // namespace sinter::cli

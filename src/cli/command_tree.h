// Describes the commands and their options, as the parser knows them, to those who print them: the
// help, shell completion and the manual page.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::cli {

// Group of the options that few users need. It comes last.
inline constexpr char kAdvanced[] = "Advanced";

struct OptionInfo {
  std::vector<std::string> short_names;  // "-p"
  std::vector<std::string> long_names;   // "--prompt" and its other names
  std::string value;                     // name of its value, such as "N"; empty for a flag
  std::string type;                      // kind of its value: FILE, DIR, MODEL or another word
  std::vector<std::string> choices;      // all values, if there are only some
  std::string description;               // with the default, if the parser knows it
  bool required = false;
  bool repeatable = false;
};

struct OptionGroup {
  std::string name;
  std::vector<OptionInfo> options;
};

struct CommandInfo {
  std::string name;
  std::string description;
  std::string footer;
  std::vector<OptionInfo> positionals;  // `value` is the name
  // In the order in which they were added, but kAdvanced last, and --help at the end of the first.
  std::vector<OptionGroup> groups;
  std::vector<CommandInfo> commands;
};

// Options and subcommands without a group are hidden and left out.
CommandInfo Describe(const CLI::App& app);
// Returns all subcommands; without a filter, get_subcommands() returns those that were parsed.
std::vector<const CLI::App*> AllCommands(const CLI::App& app);

// Returns the line of how to call a command: "sinter run MODEL [PROMPT] [OPTIONS]".
std::string UsageLine(const CommandInfo& command, std::string_view parent);

// Breaks a text into lines of at most `width` bytes, at spaces. Lines of the text stay lines.
std::vector<std::string> Wrapped(std::string_view text, size_t width);

// Returns the lines of a text with those of one paragraph joined. Lines that are indented, such as
// examples, and lines that end with a colon stay as they are.
std::vector<std::string> Paragraphs(std::string_view text);

// Returns the help of a command, 80 columns wide. `parent` is the program's name, or "" for the
// program itself.
std::string HelpText(const CommandInfo& command, std::string_view parent);

}  // namespace sinter::cli

#include "cli/chat_commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <iterator>

#include "base/error.h"
#include "base/excerpt.h"
#include "cli/nearest.h"

namespace sinter::cli {
namespace {

enum class Argument { kNone, kOptional, kFile };

struct CommandLine {
  std::string_view name;
  ChatCommand command;
  Argument argument;
  std::string_view value;  // name of the argument
  std::string_view help;   // empty for another name of the command before
};

constexpr CommandLine kCommandLines[] = {
    {"/help", ChatCommand::kHelp, Argument::kNone, "", "show this help"},
    {"/?", ChatCommand::kHelp, Argument::kNone, "", ""},
    {"/reset", ChatCommand::kReset, Argument::kNone, "", "forget the conversation"},
    {"/clear", ChatCommand::kReset, Argument::kNone, "", ""},
    {"/system", ChatCommand::kSystem, Argument::kOptional, "TEXT",
     "set the system message (\"\" removes it); alone: show it"},
    {"/save", ChatCommand::kSave, Argument::kFile, "FILE", "save the conversation as JSON"},
    {"/load", ChatCommand::kLoad, Argument::kFile, "FILE", "continue a saved conversation"},
    {"/regen", ChatCommand::kRegen, Argument::kNone, "", "generate the last answer again"},
    {"/undo", ChatCommand::kUndo, Argument::kNone, "", "remove the last message and its answer"},
    {"/set", ChatCommand::kSet, Argument::kOptional, "NAME=VALUE",
     "change a setting; alone: show them all"},
    {"/stats", ChatCommand::kStats, Argument::kOptional, "[on|off]",
     "show tokens/s and context use; on: after each answer"},
    {"/exit", ChatCommand::kExit, Argument::kNone, "", "leave (or Ctrl-D)"},
    {"/quit", ChatCommand::kExit, Argument::kNone, "", ""},
    {"/bye", ChatCommand::kExit, Argument::kNone, "", ""},
};

struct SettingLine {
  std::string_view name;
  Setting setting;
  bool whole;
};

constexpr SettingLine kSettingLines[] = {
    {"temperature", Setting::kTemperature, false},
    {"top_k", Setting::kTopK, true},
    {"top_p", Setting::kTopP, false},
    {"min_p", Setting::kMinP, false},
    {"repetition_penalty", Setting::kRepetitionPenalty, false},
    {"seed", Setting::kSeed, true},
    {"max_new_tokens", Setting::kMaxNewTokens, true},
};

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n'; }

bool BeginsWithLetter(std::string_view text) {
  return !text.empty() && std::isalpha(static_cast<unsigned char>(text[0])) != 0;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string> SettingNames() {
  std::vector<std::string> names;
  for (const SettingLine& line : kSettingLines) names.emplace_back(line.name);
  return names;
}

}  // namespace

ChatInput ParseChatInput(std::string_view line) {
  if (line.starts_with(" /")) return {ChatCommand::kMessage, std::string(line.substr(1))};
  const size_t end = std::min(line.find_first_of(" \t\n"), line.size());
  const std::string_view name = line.substr(0, end);
  if (!name.starts_with('/') || (!BeginsWithLetter(name.substr(1)) && name != "/?"))
    return {ChatCommand::kMessage, std::string(line)};
  const std::string_view argument = Trimmed(line.substr(end));
  const auto* found = std::ranges::find(kCommandLines, name, &CommandLine::name);
  if (found == std::end(kCommandLines)) {
    throw Error("chat",
                "command: got '{}', want one that /help lists{} (to send "
                "it as a message, put a space before it)",
                Excerpt(name), Suggestion(name, ChatCommandNames()));
  }
  if (found->argument == Argument::kNone && !argument.empty()) {
    throw Error("chat", "{}: got '{}', want nothing after it", name, Excerpt(argument));
  }
  if (found->argument == Argument::kFile && argument.empty())
    throw Error("chat", "{} needs a file name", name);
  return {found->command, std::string(argument)};
}

std::vector<std::string> ChatCommandNames() {
  std::vector<std::string> names;
  for (const CommandLine& line : kCommandLines) {
    if (BeginsWithLetter(line.name.substr(1))) names.emplace_back(line.name);
  }
  return names;
}

std::string ChatHelp(bool editor) {
  std::string help;
  for (const CommandLine& line : kCommandLines) {
    if (line.help.empty()) continue;
    help += fmt::format("{:<18} {}\n", fmt::format("{} {}", line.name, line.value), line.help);
  }
  help += fmt::format("Settings for /set:\n  {}\n", fmt::join(SettingNames(), " "));
  help += "To send a message that begins with a slash, type a space before it.\n";
  help += "End a line with a backslash to continue the message on the next one.\n";
  if (editor) {
    help +=
        "Alt-Enter starts a new line, and a paste of several lines is one message. Up\n"
        "and Down recall earlier messages; Ctrl-R searches them. Ctrl-C stops an\n"
        "answer; press it twice at an empty prompt to leave.\n";
  }
  return help;
}

SettingChange ParseSetting(std::string_view text) {
  const size_t end = std::min(text.find_first_of("= \t"), text.size());
  std::string name(text.substr(0, end));
  std::ranges::replace(name, '-', '_');
  if (name == "temp") name = "temperature";
  const auto* line = std::ranges::find(kSettingLines, name, &SettingLine::name);
  if (line == std::end(kSettingLines)) {
    const std::vector<std::string> names = SettingNames();
    throw Error("chat", "/set: got '{}', want one of {}{}", Excerpt(name), fmt::join(names, ", "),
                Suggestion(name, names));
  }
  std::string_view value = Trimmed(text.substr(end));
  if (value.starts_with('=')) value = Trimmed(value.substr(1));
  if (value == "default") return {line->setting, std::nullopt};
  double number = 0;
  const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool read = error == std::errc() && stop == value.data() + value.size();
  if (!read || !std::isfinite(number)) {
    throw Error("chat", "/set {}: got '{}', want a number, or default", name, Excerpt(value));
  }
  if (line->whole && (number != std::floor(number) || number < 0 || number > UINT32_MAX)) {
    throw Error("chat", "/set {}: got {}, want a whole number from 0 to {}", name, value,
                UINT32_MAX);
  }
  return {line->setting, number};
}

std::string_view SettingName(Setting setting) {
  return std::ranges::find(kSettingLines, setting, &SettingLine::setting)->name;
}

}  // namespace sinter::cli

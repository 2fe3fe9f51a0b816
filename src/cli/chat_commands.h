// The commands of a chat: lines that begin with a slash.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::cli {

enum class ChatCommand {
  kMessage,  // no command: text for the model
  kHelp,
  kReset,
  kSystem,
  kSave,
  kLoad,
  kRegen,
  kUndo,
  kSet,
  kStats,
  kExit,
};

struct ChatInput {
  ChatCommand command = ChatCommand::kMessage;
  // Text of the message, or what follows the command's name, without the blanks around it.
  std::string text;
};

// Reads what the user entered. A slash and a letter begin a command, and
// "/?" is one. One blank before a slash is
// left out, so that a message can begin with one. Throws Error, with the nearest name, for a
// command that does not exist, one that lacks its argument, and one with an argument that takes
// none.
ChatInput ParseChatInput(std::string_view line);

// Returns the commands' names with their slashes, for completion: without "/?".
std::vector<std::string> ChatCommandNames();
// Returns the text of /help, at most 78 columns wide. `editor` adds the keys of the line editor.
std::string ChatHelp(bool editor);

// Settings that /set changes.
enum class Setting {
  kTemperature,
  kTopK,
  kTopP,
  kMinP,
  kRepetitionPenalty,
  kSeed,
  kMaxNewTokens,
};

struct SettingChange {
  Setting setting;
  std::optional<double> value;  // nullopt: the default; whole where the setting is a count
};

// Reads NAME=VALUE, or NAME VALUE. A name may have '-' for '_'. Throws Error for an unknown name,
// with the nearest one, and for a value that is no number, or no whole one from 0 to 4294967295
// where a count is wanted. The model's own ranges are not checked.
SettingChange ParseSetting(std::string_view text);

std::string_view SettingName(Setting setting);

}  // namespace sinter::cli

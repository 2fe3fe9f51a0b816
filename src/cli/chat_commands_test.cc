#include "cli/chat_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/error.h"

namespace sinter::cli {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

template <typename Function>
std::string ErrorOf(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string InputError(std::string_view line) {
  return ErrorOf([&] { ParseChatInput(line); });
}

std::string SettingError(std::string_view text) {
  return ErrorOf([&] { ParseSetting(text); });
}

TEST(ChatCommands, MessagesAreLeftAlone) {
  for (const char* line : {"hello", "  hello ", "// a comment\nint x;", "/* a comment */", "/",
                           "/ x", "/1", "a /reset", "\t/reset", "  /reset"}) {
    const ChatInput input = ParseChatInput(line);
    EXPECT_EQ(input.command, ChatCommand::kMessage) << line;
    EXPECT_EQ(input.text, std::string(line).starts_with(" /") ? line + 1 : line);
  }
  EXPECT_EQ(ParseChatInput(" /etc/hosts").text, "/etc/hosts");
  EXPECT_EQ(ParseChatInput(" /reset").command, ChatCommand::kMessage);
}

TEST(ChatCommands, CommandsAndTheirArguments) {
  EXPECT_EQ(ParseChatInput("/reset").command, ChatCommand::kReset);
  EXPECT_EQ(ParseChatInput("/reset  ").command, ChatCommand::kReset);
  EXPECT_EQ(ParseChatInput("/bye").command, ChatCommand::kExit);
  EXPECT_EQ(ParseChatInput("/? ").command, ChatCommand::kHelp);
  EXPECT_EQ(ParseChatInput("/?x").command, ChatCommand::kMessage);
  EXPECT_THAT(ChatCommandNames(), Not(Contains("/?")));
  const ChatInput system = ParseChatInput("/system  Be brief.\nAnd kind. ");
  EXPECT_EQ(system.command, ChatCommand::kSystem);
  EXPECT_EQ(system.text, "Be brief.\nAnd kind.");
  EXPECT_EQ(ParseChatInput("/save my file.json").text, "my file.json");
  EXPECT_EQ(ParseChatInput("/set").text, "");
}

TEST(ChatCommands, UnknownOnesNameTheNearest) {
  EXPECT_EQ(
      InputError("/rest"),
      "[chat] command: got '/rest', want one that /help lists; did you mean '/reset'? (to send "
      "it as a message, put a space before it)");
  EXPECT_THAT(InputError("/Exit"), HasSubstr("'/exit'"));
  EXPECT_THAT(InputError("/etc/hosts is what?"),
              AllOf(HasSubstr("got '/etc/hosts'"), Not(HasSubstr("did you mean"))));
  EXPECT_EQ(InputError("/reset all"), "[chat] /reset: got 'all', want nothing after it");
  EXPECT_EQ(InputError("/load "), "[chat] /load needs a file name");
}

TEST(ChatCommands, HelpNamesAllAndFits) {
  for (const bool editor : {false, true}) {
    const std::string help = ChatHelp(editor);
    for (const char* name : {"/help", "/reset", "/system", "/save", "/load", "/regen", "/undo",
                             "/set", "/stats", "/exit", "top_p", "space before it"}) {
      EXPECT_THAT(help, HasSubstr(name));
    }
    std::istringstream lines(help);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  }
}

TEST(ChatCommands, Settings) {
  const auto value = [](std::string_view text, Setting setting) {
    const SettingChange change = ParseSetting(text);
    EXPECT_EQ(change.setting, setting) << text;
    return change.value.value_or(-1);
  };
  EXPECT_EQ(value("temperature=0.7", Setting::kTemperature), 0.7);
  EXPECT_EQ(value("temp 0", Setting::kTemperature), 0);
  EXPECT_EQ(value("top-p = 1", Setting::kTopP), 1);
  EXPECT_EQ(value("seed=4294967295", Setting::kSeed), 4294967295.0);
  EXPECT_EQ(value("top_k=default", Setting::kTopK), -1);
  EXPECT_EQ(SettingName(Setting::kMaxNewTokens), "max_new_tokens");
}

TEST(ChatCommands, SettingsOutOfForm) {
  EXPECT_THAT(SettingError("tempreture=1"),
              AllOf(HasSubstr("got 'tempreture', want one of temperature, top_k"),
                    HasSubstr("did you mean 'temperature'?")));
  EXPECT_EQ(SettingError("top_p=much"), "[chat] /set top_p: got 'much', want a number, or default");
  for (const char* text : {"top_p", "top_p=", "top_p=1x", "top_p=nan", "top_p=inf", "top_p=0x1"})
    EXPECT_THAT(SettingError(text), HasSubstr("want a number")) << text;
  for (const char* text : {"seed=1.5", "seed=-1", "top_k=1e300", "max_new_tokens=4294967296"})
    EXPECT_THAT(SettingError(text), HasSubstr("want a whole number from 0")) << text;
}

}  // namespace
}  // namespace sinter::cli

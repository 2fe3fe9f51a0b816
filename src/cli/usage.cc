#include "cli/usage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <vector>

#include "cli/nearest.h"

namespace sinter::cli {
namespace {

std::string UnknownSubcommand(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* subcommand : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(subcommand->get_name());
  }
  return fmt::format("got '{}', want a subcommand: {}{}", word, fmt::join(names, ", "),
                     Suggestion(word, names));
}

std::string UnknownOption(const CLI::App& command, const std::string& argument) {
  const std::string word = argument.substr(0, argument.find('='));
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return fmt::format("got '{}', want an option of sinter {}{}", word, command.get_name(),
                     Suggestion(word, names));
}

// Returns what an option takes in words, from CLI11's name of its type.
std::string_view ValueText(const CLI::App& command, const std::string& name) {
  const CLI::Option* option = command.get_option_no_throw(name);
  const std::string type = option != nullptr ? option->get_type_name() : "";
  return type == "INT"    ? "a whole number"
         : type == "UINT" ? "a whole number from 0 on"
                          : "a number";
}

// Turns CLI11's "PREFIX--option = value" and "--option: value not in {a,b}" into Sinter's form.
std::string Reworded(const CLI::App& command, const std::string& text) {
  constexpr std::string_view kConversion = "Could not convert: ";
  if (text.starts_with(kConversion)) {
    const std::string rest = text.substr(kConversion.size());
    if (const size_t at = rest.find(" = "); at != std::string::npos) {
      const std::string name = rest.substr(0, at);
      return fmt::format("{}: got '{}', want {}", name, rest.substr(at + 3),
                         ValueText(command, name));
    }
  }
  constexpr std::string_view kNotIn = " not in {";
  const size_t name = text.find(": "), not_in = text.rfind(kNotIn);
  if (name != std::string::npos && not_in != std::string::npos && name < not_in &&
      text.ends_with('}')) {
    const std::string value = text.substr(name + 2, not_in - name - 2);
    std::string names = text.substr(not_in + kNotIn.size());
    names.pop_back();
    return fmt::format("{}: got '{}', want one of {}", text.substr(0, name), value, names);
  }
  return text;
}

}  // namespace

std::string UsageText(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  if (chosen.empty()) {
    const std::vector<std::string> rest = app.remaining();
    return error.get_name() == "RequiredError" && !rest.empty() ? UnknownSubcommand(app, rest[0])
                                                                : error.what();
  }
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  for (const std::string& argument : rest) {
    if (argument.size() > 1 && argument[0] == '-') return UnknownOption(*chosen[0], argument);
  }
  // The name of this error is the subcommand's in some releases of CLI11.
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError) && !rest.empty())
    return fmt::format("got '{}', want no argument after the others", rest[0]);
  return Reworded(*chosen[0], error.what());
}

}  // namespace sinter::cli

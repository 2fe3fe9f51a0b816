#include "cli/usage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <string_view>
#include <vector>

namespace sinter::cli {
namespace {

// Returns the number of letters to insert, remove or replace that make one word of the other.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] != b[j] ? 1 : 0);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j + 1] + 1, row[j] + 1, replaced});
    }
  }
  return row.back();
}

// Returns "; did you mean 'NAME'?" with the nearest name, or "" if none is near.
std::string Suggestion(std::string_view word, const std::vector<std::string>& names) {
  constexpr size_t kMostEdits = 2;
  constexpr size_t kLongestWord = 64;
  if (word.size() > kLongestWord) return "";
  const auto nearest = std::ranges::min_element(
      names, {}, [&](const std::string& name) { return EditDistance(word, name); });
  if (nearest == names.end() || EditDistance(word, *nearest) > kMostEdits) return "";
  return fmt::format("; did you mean '{}'?", *nearest);
}

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

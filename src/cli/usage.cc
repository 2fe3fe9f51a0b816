#include "cli/usage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "cli/checks.h"
#include "cli/command_tree.h"
#include "cli/nearest.h"

namespace sinter::cli {
namespace {

// Options whose value may be empty text.
constexpr std::array<std::string_view, 5> kMayBeEmpty = {"--prompt", "PROMPT", "--system", "TEXT",
                                                         "--ids"};

// Options whose value the model reads. Prompts, which may come from a file, are checked when they
// are read.
constexpr std::array<std::string_view, 3> kTexts = {"--system", "--stop", "--template-arg"};

bool IsOption(std::string_view argument) { return argument.size() > 1 && argument[0] == '-'; }

const CLI::App* FindCommand(const CLI::App& app, const std::string& name) {
  const auto found = app.get_subcommands([&](const CLI::App* c) { return c->get_name() == name; });
  return found.empty() ? nullptr : found[0];
}

std::string UnknownSubcommand(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : AllCommands(app)) {
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  if (IsOption(word)) {
    return fmt::format("got '{}' before any command, want a command first: {}", word,
                       fmt::join(names, ", "));
  }
  return fmt::format("got '{}', want a command: {}{}", word, fmt::join(names, ", "),
                     Suggestion(word, names));
}

std::string UnknownOption(const CLI::App& command, const std::string& argument) {
  const std::string word = argument.substr(0, argument.find('='));
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  }
  // A long option with one dash is near, too.
  const std::string nearest = Nearest(
      std::string_view(word).substr(std::min(word.find_first_not_of('-'), word.size())), names);
  return fmt::format("got '{}', want an option of sinter {}{}", word, command.get_name(),
                     nearest.empty() ? "" : fmt::format("; did you mean '--{}'?", nearest));
}

std::string ExtraArgument(const CLI::App& command, const std::string& argument) {
  if (command.get_option_no_throw("PROMPT") != nullptr) {
    return fmt::format("got '{}' after the prompt, want the whole prompt in quotes", argument);
  }
  return fmt::format("got '{}', want no argument after the others", argument);
}

// Turns CLI11's texts into Sinter's form.
std::string Reworded(const std::string& text) {
  if (const size_t at = text.find(" At Most 1 required but received "); at != std::string::npos) {
    return fmt::format("{} got {} values, want one", text.substr(0, at),
                       text.substr(text.rfind(' ') + 1));
  }
  if (const size_t at = text.find(" requires "); at != std::string::npos)
    return fmt::format("{}: got it alone, want it together with {}", text.substr(0, at),
                       text.substr(at + std::string_view(" requires ").size()));
  if (const size_t at = text.find(" excludes "); at != std::string::npos)
    return fmt::format("{} and {}: got both, want one of them", text.substr(0, at),
                       text.substr(at + std::string_view(" excludes ").size()));
  if (const size_t at = text.find(" is required"); at != std::string::npos)
    return fmt::format("{}: got none, want one", text.substr(0, at));
  if (const size_t at = text.find(": 1 required "); at != std::string::npos)
    return fmt::format("{}: got no value, want one", text.substr(0, at));
  return text;
}

}  // namespace

std::string UsageText(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  if (chosen.empty()) {
    const std::vector<std::string> rest = app.remaining();
    return error.get_name() == "RequiredError" && !rest.empty() ? UnknownSubcommand(app, rest[0])
                                                                : Reworded(error.what());
  }
  for (const std::string& argument : app.remaining()) {
    if (IsOption(argument)) {
      return fmt::format("got '{}' before the command, want it after 'sinter {}'", argument,
                         chosen[0]->get_name());
    }
  }
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  for (const std::string& argument : rest) {
    if (IsOption(argument)) return UnknownOption(*chosen[0], argument);
  }
  // The name of this error is the subcommand's in some releases of CLI11.
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError) && !rest.empty())
    return ExtraArgument(*chosen[0], rest[0]);
  return Reworded(error.what());
}

std::vector<std::string> NormalizedArguments(const CLI::App& app, std::vector<std::string> args) {
  const CLI::App* command = nullptr;
  for (std::string& arg : args) {
    if (command == nullptr) {
      if (IsOption(arg)) continue;
      command = FindCommand(app, arg);
      if (command == nullptr) break;
      continue;
    }
    if (arg == "--") break;
    const size_t end = std::min(arg.find('='), arg.size());
    if (!arg.starts_with("--") || arg.find('_') >= end) continue;
    std::string name = arg.substr(0, end);
    std::ranges::replace(name, '_', '-');
    if (command->get_option_no_throw(name) != nullptr) arg.replace(0, end, name);
  }
  return args;
}

void PrepareCommands(CLI::App& app) {
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    CLI::Option* model = nullptr;
    CLI::Option* next = nullptr;  // the positional behind MODEL
    for (CLI::Option* option : command->get_options([](CLI::Option*) { return true; })) {
      if (option->get_positional()) {
        if (model != nullptr && next == nullptr) next = option;
        if (option->get_name(/*positional=*/true) == "MODEL") model = option;
      }
      const bool has_value = option->get_items_expected_max() > 0;
      if (has_value && std::ranges::find(kMayBeEmpty, option->get_name()) == kMayBeEmpty.end())
        option->check(NotEmpty());
      if (std::ranges::find(kTexts, option->get_name()) != kTexts.end()) option->check(Utf8Text());
    }
    if (model == nullptr) continue;
    const auto give = [](CLI::Option* option, const std::string& value) {
      option->add_result(value);
      option->run_callback();
    };
    command
        ->add_option_function<std::string>(
            "-m,--model",
            [model, next, give](const std::string& value) {
              // The positional arguments then begin behind MODEL.
              const std::vector<std::string> before = model->results();
              if (!before.empty()) {
                if (next == nullptr) throw CLI::ArgumentMismatch::AtMost("MODEL", 1, 2);
                give(next, before[0]);
                model->clear();
              }
              give(model, value);
            },
            "Same as MODEL")
        ->check(NotEmpty())
        ->type_name("MODEL")
        ->configurable(false);
  }
}

}  // namespace sinter::cli

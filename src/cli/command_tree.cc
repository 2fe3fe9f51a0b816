#include "cli/command_tree.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/checks.h"

namespace sinter::cli {
namespace {

constexpr size_t kHelpWidth = 80;
// Column at which the descriptions of options begin.
constexpr size_t kDescriptionColumn = 26;
constexpr size_t kUsageColumn = sizeof("Usage: ") - 1;
constexpr char kFirstGroup[] = "Options";

std::string ValueName(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return "";
  std::string type = option.get_type_name();
  // The descriptions of checks follow the type.
  type = type.substr(0, type.find(':'));
  if (type == "INT" || type == "UINT") return "N";
  if (type == "FLOAT") return "X";
  return type;
}

OptionInfo DescribeOption(const CLI::Option& option) {
  OptionInfo info;
  for (const std::string& name : option.get_snames()) info.short_names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) info.long_names.push_back("--" + name);
  info.value = ValueName(option);
  info.type = info.value;
  info.choices = Choices(option);
  info.description = option.get_description();
  if (const std::string value = option.get_default_str(); !value.empty())
    info.description += fmt::format(" (default: {})", value);
  info.required = option.get_required();
  info.repeatable = option.get_items_expected_max() > 1;
  return info;
}

std::string LeftColumn(const OptionInfo& option) {
  std::vector<std::string> names = option.short_names;
  // Other long names of the option are aliases, which the manual page lists.
  if (!option.long_names.empty()) names.push_back(option.long_names[0]);
  std::string text = option.short_names.empty() ? "      " : "  ";
  text += fmt::format("{}", fmt::join(names, ", "));
  if (!option.value.empty()) text += " " + option.value;
  return text;
}

// Appends a name and its description in two columns.
void AppendColumns(const std::string& left, std::string_view description, size_t column,
                   std::string& text) {
  std::string line = left;
  if (description.empty()) {
    text += line + "\n";
    return;
  }
  if (line.size() >= column) {
    text += line + "\n";
    line.clear();
  }
  for (const std::string& part : Wrapped(description, kHelpWidth - column)) {
    line.resize(column, ' ');
    text += line + part + "\n";
    line.clear();
  }
}

void AppendParagraph(std::string_view paragraph, std::string& text) {
  for (const std::string& line : Wrapped(paragraph, kHelpWidth)) text += line + "\n";
}

}  // namespace

CommandInfo Describe(const CLI::App& app) {
  CommandInfo info;
  info.name = app.get_name();
  info.description = app.get_description();
  info.footer = app.get_footer();
  const auto group_of = [&info](const std::string& name) -> OptionGroup& {
    const auto found = std::ranges::find(info.groups, name, &OptionGroup::name);
    if (found != info.groups.end()) return *found;
    return info.groups.emplace_back(OptionGroup{name, {}});
  };
  group_of(kFirstGroup);
  const CLI::Option* help = app.get_help_ptr();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty() || option == help) continue;
    if (option->get_positional()) {
      OptionInfo positional = DescribeOption(*option);
      positional.value = option->get_name(/*positional=*/true);
      info.positionals.push_back(std::move(positional));
    }
    if (option->nonpositional()) {
      group_of(option->get_group()).options.push_back(DescribeOption(*option));
    }
  }
  if (help != nullptr) group_of(kFirstGroup).options.push_back(DescribeOption(*help));
  std::stable_partition(info.groups.begin(), info.groups.end(),
                        [](const OptionGroup& group) { return group.name != kAdvanced; });
  for (const CLI::App* command : AllCommands(app)) {
    if (!command->get_group().empty()) info.commands.push_back(Describe(*command));
  }
  return info;
}

std::vector<const CLI::App*> AllCommands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string UsageLine(const CommandInfo& command, std::string_view parent) {
  std::string line = parent.empty() ? command.name : fmt::format("{} {}", parent, command.name);
  if (!command.commands.empty()) return line + " COMMAND [ARGUMENTS]";
  for (const OptionInfo& positional : command.positionals) {
    const std::string name = positional.value + (positional.repeatable ? "..." : "");
    line += positional.required ? " " + name : " [" + name + "]";
  }
  return line + " [OPTIONS]";
}

std::vector<std::string> Wrapped(std::string_view text, size_t width) {
  std::vector<std::string> lines;
  if (text.empty()) lines.emplace_back();
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view rest = text.substr(begin, end - begin);
    begin = end + 1;
    while (rest.size() > width) {
      // A word longer than a line stays whole.
      size_t space = rest.rfind(' ', width);
      if (space == std::string_view::npos || space == 0) space = rest.find(' ', width);
      if (space == std::string_view::npos) break;
      lines.emplace_back(rest.substr(0, space));
      rest.remove_prefix(space + 1);
    }
    lines.emplace_back(rest);
  }
  return lines;
}

std::vector<std::string> Paragraphs(std::string_view text) {
  std::vector<std::string> paragraphs;
  bool open = false;  // whether the next line may continue the last one
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    const bool plain = !line.empty() && line[0] != ' ';
    if (open && plain) {
      paragraphs.back() += fmt::format(" {}", line);
    } else {
      paragraphs.emplace_back(line);
    }
    open = plain && !line.ends_with(':');
  }
  return paragraphs;
}

std::string HelpText(const CommandInfo& command, std::string_view parent) {
  std::string text;
  AppendParagraph(command.description + ".", text);
  text += "\n";
  AppendColumns("Usage:", UsageLine(command, parent), kUsageColumn, text);
  if (!command.positionals.empty()) text += "\n";
  for (const OptionInfo& positional : command.positionals) {
    AppendColumns("  " + positional.value, positional.description, kDescriptionColumn, text);
  }
  if (!command.commands.empty()) text += "\nCommands:\n";
  size_t column = 0;
  for (const CommandInfo& inner : command.commands) {
    column = std::max(column, inner.name.size() + 4);
  }
  for (const CommandInfo& inner : command.commands) {
    AppendColumns("  " + inner.name, inner.description, column, text);
  }
  for (const OptionGroup& group : command.groups) {
    if (group.options.empty()) continue;
    text += fmt::format("\n{}:\n", group.name);
    for (const OptionInfo& option : group.options) {
      AppendColumns(LeftColumn(option), option.description, kDescriptionColumn, text);
    }
  }
  if (!command.footer.empty()) {
    text += "\n";
    for (const std::string& paragraph : Paragraphs(command.footer)) {
      if (paragraph.starts_with(' ')) {
        text += paragraph + "\n";
      } else {
        AppendParagraph(paragraph, text);
      }
    }
  }
  return text;
}

}  // namespace sinter::cli

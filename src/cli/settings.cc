#include "cli/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/excerpt.h"
#include "cli/command_tree.h"
#include "cli/nearest.h"

namespace sinter::cli {
namespace {

constexpr char kDefaults[] = "defaults";

// Returns whether settings may give the option.
bool IsSetting(const CLI::Option* option) {
  return option->get_configurable() && !option->get_lnames().empty();
}

// Returns the long names, aliases too, of the options of a command that settings may give.
std::vector<std::string> SettingNames(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options(IsSetting)) {
    names.insert(names.end(), option->get_lnames().begin(), option->get_lnames().end());
  }
  return names;
}

// Returns the long name of the option that has this short name; "" if there is none.
std::string LongName(const CLI::App& command, std::string_view name) {
  for (const CLI::Option* option : command.get_options(IsSetting)) {
    for (const std::string& known : option->get_snames()) {
      if (known == name) return option->get_lnames()[0];
    }
  }
  return "";
}

// Returns "; did you mean 'NAME'?" with the setting that the name in this section may mean.
std::string SettingSuggestion(const CLI::App& app, const std::string& section,
                              std::string_view name, const std::vector<std::string>& known) {
  for (const CLI::App* command : AllCommands(app)) {
    if (section != kDefaults && section != command->get_name()) continue;
    if (const std::string meant = LongName(*command, name); !meant.empty())
      return fmt::format("; did you mean '{}'?", meant);
  }
  return Suggestion(name, known);
}

// Throws Error for a section or an option of the file that does not exist.
void CheckNames(const CLI::App& app, const ConfigFile& config) {
  std::vector<std::string> sections = {"models", kDefaults};
  std::vector<std::string> all;
  for (const CLI::App* command : AllCommands(app)) {
    const std::vector<std::string> names = SettingNames(*command);
    all.insert(all.end(), names.begin(), names.end());
    if (!names.empty()) sections.push_back(command->get_name());
  }
  for (const auto& [section, options] : config.sections) {
    if (std::ranges::find(sections, section) == sections.end()) {
      throw Error("settings", "{}: got \"{}\", want one of {}{}", config.path.string(),
                  Excerpt(section), fmt::join(sections, ", "), Suggestion(section, sections));
    }
    const bool shared = section == kDefaults;
    const std::vector<std::string> known =
        shared ? all : SettingNames(*app.get_subcommand(section));
    for (const auto& [name, values] : options) {
      if (std::ranges::find(known, name) != known.end()) continue;
      throw Error("settings", "{}: {}: got \"{}\", want an option of {} that may have a default{}",
                  config.path.string(), section, Excerpt(name),
                  shared ? "a command" : "sinter " + section,
                  SettingSuggestion(app, section, name, known));
    }
  }
}

// Value of an option, and where it is from, for errors.
struct Setting {
  std::string place;
  std::vector<std::string> values;
};

// Returns the setting that a section of the file has for the option.
std::optional<Setting> Find(const ConfigFile& config, const std::string& section,
                            const CLI::Option& option) {
  const auto options = config.sections.find(section);
  if (options == config.sections.end()) return std::nullopt;
  for (const std::string& name : option.get_lnames()) {
    const auto found = options->second.find(name);
    if (found != options->second.end())
      return Setting{fmt::format("{}: {}.{}", config.path.string(), section, name), found->second};
  }
  return std::nullopt;
}

std::optional<Setting> FindVariable(const CLI::Option& option) {
  for (const std::string& name : option.get_lnames()) {
    const std::string variable = VariableName(name);
    if (const auto value = Variable(variable)) return Setting{variable, {*value}};
  }
  return std::nullopt;
}

bool IsTrue(const Setting& setting) {
  constexpr std::array<std::string_view, 4> kTrue = {"true", "1", "yes", "on"};
  constexpr std::array<std::string_view, 4> kFalse = {"false", "0", "no", "off"};
  if (setting.values.size() == 1) {
    if (std::ranges::find(kTrue, setting.values[0]) != kTrue.end()) return true;
    if (std::ranges::find(kFalse, setting.values[0]) != kFalse.end()) return false;
  }
  throw Error("settings", "{}: got '{}', want true or false", setting.place,
              Excerpt(fmt::format("{}", fmt::join(setting.values, ", "))));
}

// Gives the option the setting. Returns false for a flag that is set to false.
bool Give(CLI::Option& option, const Setting& setting) {
  if (option.get_items_expected_max() == 0) {
    if (!IsTrue(setting)) return false;
    option.add_result("true");
  } else {
    for (const std::string& value : setting.values) option.add_result(value);
  }
  try {
    option.run_callback();
  } catch (const CLI::ParseError& error) {
    // The text begins with the option's name.
    const std::string_view text = error.what();
    const size_t colon = text.find(": ");
    throw Error("settings", "{}: {}", setting.place,
                colon == std::string_view::npos ? text : text.substr(colon + 2));
  }
  return true;
}

}  // namespace

void ApplySettings(const CLI::App& app, CLI::App& command, const ConfigFile& config) {
  CheckNames(app, config);
  // Options that have a value, with the place that it came from; "" is the command line.
  std::vector<std::pair<const CLI::Option*, std::string>> given;
  std::set<const CLI::Option*> decided;
  const std::vector<CLI::Option*> options =
      command.get_options([](CLI::Option* option) { return option->nonpositional(); });
  for (const CLI::Option* option : options) {
    if (option->count() == 0) continue;
    given.emplace_back(option, "");
    decided.insert(option);
  }
  enum { kEnvironment, kSection, kShared, kLevels };
  for (int level = 0; level < kLevels; ++level) {
    const size_t before = given.size();
    for (CLI::Option* option : options) {
      if (!IsSetting(option) || decided.contains(option)) continue;
      const std::optional<Setting> setting =
          level == kEnvironment
              ? FindVariable(*option)
              : Find(config, level == kSection ? command.get_name() : kDefaults, *option);
      if (!setting) continue;
      decided.insert(option);
      const std::set<CLI::Option*> excludes = option->get_excludes();
      const auto rival = std::ranges::find_if(given, [&](const auto& other) {
        return std::ranges::any_of(excludes, [&](const auto* e) { return e == other.first; });
      });
      if (rival != given.end()) {
        if (static_cast<size_t>(rival - given.begin()) < before) continue;
        throw Error("settings", "{} and {}: got both, want one of them", rival->second,
                    setting->place);
      }
      if (Give(*option, *setting)) given.emplace_back(option, setting->place);
    }
  }
}

bool SettingAsksForJson(const CLI::App& app, const std::vector<std::string>& args) {
  for (const std::string& arg : args) {
    if (arg.starts_with('-')) continue;
    const std::vector<const CLI::App*> commands = AllCommands(app);
    const auto command =
        std::ranges::find(commands, arg, [](const auto* c) { return c->get_name(); });
    const CLI::Option* json =
        command == commands.end() ? nullptr : (*command)->get_option_no_throw("--json");
    if (json == nullptr) return false;
    try {
      std::optional<Setting> setting = FindVariable(*json);
      if (!setting) {
        const ConfigFile config = ReadConfigFile();
        setting = Find(config, arg, *json);
        if (!setting) setting = Find(config, kDefaults, *json);
      }
      return setting && IsTrue(*setting);
    } catch (const Error&) {
      return false;  // The settings are read again, and their error told, when the arguments are.
    }
  }
  return false;
}

std::vector<std::string> MistypedVariables(const CLI::App& app,
                                           const std::vector<std::string>& environment) {
  std::vector<std::string> known = {"SINTER_CONFIG", "SINTER_MODELS"};
  for (const CLI::App* command : AllCommands(app)) {
    for (const std::string& name : SettingNames(*command)) known.push_back(VariableName(name));
  }
  std::vector<std::string> lines;
  for (const std::string& entry : environment) {
    const std::string name = entry.substr(0, entry.find('='));
    if (!name.starts_with("SINTER_") || std::ranges::find(known, name) != known.end()) continue;
    std::string nearest = Nearest(name, known);
    // SINTER_N for the option -n, and SINTER_RUN_TEMPERATURE for run's --temperature.
    for (const CLI::App* command : AllCommands(app)) {
      std::string word = name.substr(std::string_view("SINTER_").size());
      std::ranges::transform(word, word.begin(), [](unsigned char c) { return std::tolower(c); });
      if (const std::string meant = LongName(*command, word); nearest.empty() && !meant.empty())
        nearest = VariableName(meant);
      const std::string prefix = VariableName(command->get_name()) + "_";
      if (!name.starts_with(prefix)) continue;
      const std::string meant = "SINTER_" + name.substr(prefix.size());
      if (std::ranges::find(known, meant) != known.end()) nearest = meant;
    }
    if (!nearest.empty())
      lines.push_back(fmt::format("{} is no setting; did you mean {}?", name, nearest));
  }
  return lines;
}

}  // namespace sinter::cli

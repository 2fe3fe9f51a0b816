#include "cli/config_file.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/user_folders.h"

namespace sinter::cli {
namespace {

using nlohmann::json;

[[noreturn]] void FailAt(const std::filesystem::path& file, const std::string& key,
                         const std::string& got, std::string_view want) {
  throw Error("settings", "{}: {}{}got {}, want {}", file.string(), key, key.empty() ? "" : ": ",
              got, want);
}

// Returns the path with a leading ~ replaced by the home folder.
std::filesystem::path WithHome(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const std::optional<std::string> home = Variable("HOME");
  return home ? *home + path.substr(1) : path;
}

// Returns the text that a value would have on the command line; nullopt if it can have none.
std::optional<std::string> ValueText(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean() || value.is_number()) return value.dump();
  return std::nullopt;
}

std::vector<std::string> ReadValues(const json& value, const std::filesystem::path& file,
                                    const std::string& key) {
  constexpr std::string_view kWant = "text, a number, true, false, or an array of these";
  std::vector<std::string> values;
  if (value.is_array()) {
    for (const json& element : value) {
      const std::optional<std::string> text = ValueText(element);
      if (!text) FailAt(file, key, JsonExcerpt(element), kWant);
      values.push_back(*text);
    }
    return values;
  }
  const std::optional<std::string> text = ValueText(value);
  if (!text) FailAt(file, key, JsonExcerpt(value), kWant);
  return {*text};
}

ConfigFile::Options ReadSection(const json& section, const std::filesystem::path& file,
                                const std::string& name) {
  if (!section.is_object()) FailAt(file, name, JsonExcerpt(section), "an object of options");
  ConfigFile::Options options;
  for (const auto& [key, value] : section.items()) {
    std::string option = key;
    std::ranges::replace(option, '_', '-');
    if (options.contains(option)) FailAt(file, name, "\"" + Excerpt(key) + "\" twice", "it once");
    options[option] = ReadValues(value, file, name + "." + Excerpt(key));
  }
  return options;
}

std::vector<std::filesystem::path> ReadModels(const json& models,
                                              const std::filesystem::path& file) {
  constexpr std::string_view kWant = "an array of folders, each beginning with / or ~/";
  if (!models.is_array()) FailAt(file, "models", JsonExcerpt(models), kWant);
  std::vector<std::filesystem::path> folders;
  for (const json& model : models) {
    const std::filesystem::path folder =
        model.is_string() ? WithHome(model.get<std::string>()) : "";
    if (!folder.is_absolute()) FailAt(file, "models", JsonExcerpt(model), kWant);
    folders.push_back(folder);
  }
  return folders;
}

}  // namespace

std::optional<std::string> Variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
}

std::filesystem::path ConfigPath() {
  if (const auto path = Variable("SINTER_CONFIG")) return *path;
  const std::filesystem::path folder = UserFolder("XDG_CONFIG_HOME", ".config");
  return folder.empty() ? folder : folder / "sinter" / "config.json";
}

ConfigFile ParseConfigFile(std::string_view text, const std::filesystem::path& path) {
  const json root = ParseJson(text, "settings", path.string());
  if (!root.is_object()) FailAt(path, "", JsonExcerpt(root), "an object");
  ConfigFile config;
  config.path = path;
  for (const auto& [key, value] : root.items()) {
    if (key == "models") {
      config.models = ReadModels(value, path);
    } else {
      config.sections[key] = ReadSection(value, path, Excerpt(key));
    }
  }
  return config;
}

ConfigFile ReadConfigFile() {
  const std::filesystem::path path = ConfigPath();
  if (path.empty() || (!Variable("SINTER_CONFIG") && !IsPresent(path))) return {};
  return ParseConfigFile(ReadSmallFile(path, "settings", "a JSON file of settings"), path);
}

std::vector<std::filesystem::path> ModelFolders(const ConfigFile& config) {
  const std::optional<std::string> list = Variable("SINTER_MODELS");
  if (!list) return config.models;
  std::vector<std::filesystem::path> folders;
  for (size_t begin = 0; begin <= list->size();) {
    const size_t end = std::min(list->find(':', begin), list->size());
    const std::string given = list->substr(begin, end - begin);
    begin = end + 1;
    if (given.empty()) continue;
    folders.push_back(WithHome(given));
    if (!folders.back().is_absolute()) {
      throw Error("settings",
                  "SINTER_MODELS: got '{}', want folders that begin with / or ~/, separated by "
                  "colons",
                  Excerpt(given));
    }
  }
  return folders;
}

std::string VariableName(std::string_view option) {
  std::string name = "SINTER_";
  for (const char c : option) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

}  // namespace sinter::cli

// The user's defaults: config.json and the variables SINTER_*.
//
//   {
//     "models": ["~/models", "/data/models"],     folders of model folders
//     "defaults": {"device": "nvidia"},           options of every command that has them
//     "run": {"temperature": 0.7, "stop": ["\n"]},  options of one command
//     "chat": {"system": "Answer briefly."}
//   }
//
// An option has its long name without the dashes; '_' stands for '-', too. Where an option comes
// from several places, the command line is the first, then the variable, then the command's section
// and then `defaults`.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::cli {

// Contents of config.json. Its values are text, as the command line would have them: a flag has
// "true" or "false", a repeatable option several values.
struct ConfigFile {
  using Options = std::map<std::string, std::vector<std::string>>;

  std::filesystem::path path;                 // empty if there is no file
  std::vector<std::filesystem::path> models;  // absolute
  // By section: `defaults` or a command, then by the option's long name, with '-' only.
  std::map<std::string, Options> sections;
};

// Returns the value of a variable of the environment; nullopt if it is not set or empty.
std::optional<std::string> Variable(const std::string& name);

// Returns where config.json belongs: SINTER_CONFIG, or sinter/config.json in XDG_CONFIG_HOME, or in
// ~/.config. Returns an empty path if none of these variables and no HOME is set.
std::filesystem::path ConfigPath();

// Parses the text of `path`. Throws Error("settings") that names the place in the file if it is no
// JSON, or not of the form above. Which sections and options exist is not checked here.
ConfigFile ParseConfigFile(std::string_view text, const std::filesystem::path& path);

// Reads the file at ConfigPath(). Without one there, returns an empty ConfigFile; if SINTER_CONFIG
// names one that cannot be read, throws Error.
ConfigFile ReadConfigFile();

// Returns the folders in which models are looked up by name, in this order: those that the variable
// SINTER_MODELS lists, separated by colons, or else those of the file. Does not add the folder of
// downloaded or converted models.
std::vector<std::filesystem::path> ModelFolders(const ConfigFile& config);

// Returns the name of the variable for an option: SINTER_MAX_LENGTH for max-length.
std::string VariableName(std::string_view option);

}  // namespace sinter::cli

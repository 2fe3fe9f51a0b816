// Models by name: folders of models below a folder of Sinter's own and those that the user's
// configuration names.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::cli {

// Returns the folder that `sinter convert` puts models into: sinter/models in XDG_DATA_HOME, or in
// ~/.local/share. Returns an empty path if neither that variable nor HOME is set.
std::filesystem::path OwnModelsFolder();

struct NamedModel {
  std::string name;
  std::filesystem::path folder;
  bool own = false;  // whether it lies in the own folder, where `sinter rm` may remove it
};

// Returns the models of the own folder, then those of the further ones, each by name. A folder that
// is a model itself counts as one of its name. Of models with the same name, which only the first
// one can be called by, all are listed. Folders that cannot be read hold none.
std::vector<NamedModel> ListModels(const std::filesystem::path& own,
                                   std::span<const std::filesystem::path> further);

// Returns the folder of the model that the user means: `given` if there is something of that path,
// else the first model of that name, else `given`.
std::string ResolveModel(const std::string& given, const std::filesystem::path& own,
                         std::span<const std::filesystem::path> further);
// The same with the folders of this user. Throws Error("settings") if the configuration is needed
// and cannot be read.
std::string ResolveModel(const std::string& given);

// Returns a model's name for a checkpoint's folder: its own name, or the repository's where it is a
// snapshot in Hugging Face's cache, in lower case, with '-' for what is no letter, digit, '.', '_'
// or
// '-'.
std::string NameForCheckpoint(const std::filesystem::path& checkpoint);

// Removes the model `name` from the own folder. A link is removed and not followed. Throws
// Error("model") if `name` is a path, if there is no model of that name in `own`, or if it cannot
// be removed. FindOwnModel() throws the same without removing anything, and returns the folder.
std::filesystem::path FindOwnModel(const std::filesystem::path& own, const std::string& name);
void RemoveOwnModel(const std::filesystem::path& own, const std::string& name);

// Returns the bytes of all files in a folder. Links to files count as what they lead to; links to
// folders are not followed.
uint64_t FolderBytes(const std::filesystem::path& folder);

}  // namespace sinter::cli

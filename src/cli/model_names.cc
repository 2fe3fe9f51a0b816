#include "cli/model_names.h"

#include <algorithm>
#include <system_error>

#include "base/error.h"
#include "base/excerpt.h"
#include "base/user_folders.h"
#include "cli/config_file.h"
#include "convert/new_folder.h"

namespace sinter::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kModelFile[] = "genai_config.json";

bool IsModelFolder(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / kModelFile, error);
}

// Returns whether a folder without kModelFile holds a part of a model, as a copy that was cut short
// leaves it. A conversion that is under way marks its folder as unfinished.
bool IsBrokenModel(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder / convert::kUnfinishedMark, error)) return false;
  for (const char* file : {"config.json", "tokenizer.json", "model.onnx", "model.onnx.data"}) {
    if (fs::exists(folder / file, error)) return true;
  }
  return false;
}

// Returns whether `name` can be an entry of a folder: one part of a path, and not hidden.
bool IsEntryName(std::string_view name) {
  return !name.empty() && name[0] != '.' && name.find('/') == std::string_view::npos;
}

std::string NameOf(const fs::path& folder) {
  return folder.has_filename() ? folder.filename().string()
                               : folder.parent_path().filename().string();
}

void AppendModels(const fs::path& parent, bool own, std::vector<NamedModel>& models) {
  const size_t first = models.size();
  std::error_code error;
  for (fs::directory_iterator entry(parent, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    // A broken model in the own folder is listed, so that the user learns of it and can remove it.
    if (IsEntryName(name) &&
        (IsModelFolder(entry->path()) || (own && IsBrokenModel(entry->path()))))
      models.push_back({name, entry->path(), own});
  }
  std::sort(models.begin() + static_cast<std::ptrdiff_t>(first), models.end(),
            [](const NamedModel& a, const NamedModel& b) { return a.name < b.name; });
}

}  // namespace

fs::path OwnModelsFolder() {
  const fs::path data = UserFolder("XDG_DATA_HOME", ".local/share");
  return data.empty() ? data : data / "sinter" / "models";
}

std::vector<NamedModel> ListModels(const fs::path& own, std::span<const fs::path> further) {
  std::vector<NamedModel> models;
  if (!own.empty()) AppendModels(own, /*own=*/true, models);
  for (const fs::path& folder : further) {
    if (IsModelFolder(folder)) {
      models.push_back({NameOf(folder), folder, false});
    } else {
      AppendModels(folder, /*own=*/false, models);
    }
  }
  return models;
}

std::string ResolveModel(const std::string& given, const fs::path& own,
                         std::span<const fs::path> further) {
  std::error_code error;
  if (!IsEntryName(given) || fs::exists(fs::symlink_status(given, error))) return given;
  if (!own.empty() && IsModelFolder(own / given)) return (own / given).string();
  for (const fs::path& folder : further) {
    const fs::path model =
        IsModelFolder(folder) && NameOf(folder) == given ? folder : folder / given;
    if (IsModelFolder(model)) return model.string();
  }
  return given;
}

std::string ResolveModel(const std::string& given) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(given, error))) return given;
  return ResolveModel(given, OwnModelsFolder(), ModelFolders(ReadConfigFile()));
}

std::string NameForCheckpoint(const fs::path& checkpoint) {
  std::error_code error;
  fs::path folder = fs::weakly_canonical(checkpoint, error);
  if (error) folder = checkpoint;
  std::string name = NameOf(folder);
  // Hugging Face's cache: models--OWNER--NAME/snapshots/REVISION.
  const fs::path snapshots = folder.parent_path();
  const std::string repository = snapshots.parent_path().filename().string();
  constexpr std::string_view kSeparator = "--";
  if (snapshots.filename() == "snapshots" && repository.starts_with("models--")) {
    name = repository.substr(repository.rfind(kSeparator) + kSeparator.size());
  }
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_') c = '-';
  }
  const size_t begin = name.find_first_not_of("-.");
  return begin == std::string::npos ? "model" : name.substr(begin);
}

fs::path FindOwnModel(const fs::path& own, const std::string& name) {
  if (own.empty())
    throw Error("model", "folder of models: got neither XDG_DATA_HOME nor HOME, want one of them");
  if (!IsEntryName(name)) {
    throw Error("model", "'{}': got a path, want the name of a model in {}", Excerpt(name),
                own.string());
  }
  fs::path folder = own / name;
  std::error_code error;
  const fs::file_status status = fs::symlink_status(folder, error);
  if (!fs::exists(status)) {
    throw Error("model", "'{}': got no model of that name in {}, want one of sinter list",
                Excerpt(name), own.string());
  }
  if (!fs::is_symlink(status) && !IsModelFolder(folder) && !IsBrokenModel(folder)) {
    throw Error("model", "'{}': got something without a file of a model, want a model folder",
                folder.string());
  }
  return folder;
}

void RemoveOwnModel(const fs::path& own, const std::string& name) {
  const fs::path folder = FindOwnModel(own, name);
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) {
    throw Error("model", "'{}': got '{}', want a folder that can be removed", folder.string(),
                error.message());
  }
}

uint64_t FolderBytes(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_regular_file(ignored)) continue;
    const uintmax_t size = entry->file_size(ignored);
    if (!ignored) bytes += size;
  }
  return bytes;
}

}  // namespace sinter::cli

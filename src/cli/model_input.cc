#include "cli/model_input.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/excerpt.h"
#include "base/file.h"
#include "cli/config_file.h"
#include "cli/model_names.h"
#include "cli/nearest.h"
#include "cli/shell_word.h"

namespace sinter::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kGenaiConfig[] = "genai_config.json";
constexpr char kHubConfig[] = "config.json";
constexpr std::string_view kLfsMark = "version https://git-lfs.github.com/spec/";
// Upper bound on the files that are looked at in a folder and on the depth below it, so that a home
// folder given by mistake takes no time.
constexpr size_t kMostEntries = 2000;
constexpr int kMostDepth = 3;

bool IsFolder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool IsFile(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// Returns the first bytes of a regular file; "" if there is none.
std::string FirstBytes(const fs::path& path, size_t count) {
  const OpenedFile file = OpenRegularFile(path);
  if (!file.problem.empty()) return "";
  std::string bytes(count, '\0');
  const ssize_t read_bytes = read(file.descriptor.get(), bytes.data(), count);
  bytes.resize(static_cast<size_t>(std::max<ssize_t>(read_bytes, 0)));
  return bytes;
}

bool IsLfsPointer(const fs::path& path) { return FirstBytes(path, kLfsMark.size()) == kLfsMark; }

bool IsGguf(const fs::path& path) {
  return path.extension() == ".gguf" || FirstBytes(path, 4) == "GGUF";
}

// Returns the names of the folder's entries, sorted. Unreadable folders have none.
std::vector<std::string> Entries(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
    if (names.size() == kMostEntries) break;
  }
  std::ranges::sort(names);
  return names;
}

bool HasExtension(const fs::path& folder, std::string_view extension) {
  const std::vector<std::string> names = Entries(folder);
  return std::ranges::any_of(names, [&](const auto& name) { return name.ends_with(extension); });
}

// Appends the folders below `folder` that hold the file `name`, nearest first.
void FindFolders(const fs::path& folder, std::string_view name, int depth, size_t& looked_at,
                 std::vector<std::string>& found) {
  std::vector<fs::path> inner;
  for (const std::string& entry : Entries(folder)) {
    if (++looked_at > kMostEntries) return;
    if (entry != ".git" && IsFolder(folder / entry)) inner.push_back(folder / entry);
  }
  for (const fs::path& path : inner) {
    if (IsFile(path / name)) {
      found.push_back(path.string());
    } else if (depth < kMostDepth) {
      FindFolders(path, name, depth + 1, looked_at, found);
    }
  }
}

std::vector<std::string> FoldersWith(const fs::path& folder, std::string_view name) {
  size_t looked_at = 0;
  std::vector<std::string> found;
  FindFolders(folder, name, 1, looked_at, found);
  return found;
}

std::string ConvertCommand(const fs::path& checkpoint) {
  return fmt::format("sinter convert {}", ShellWord(checkpoint.string()));
}

// Returns OWNER/NAME if the text names a repository of the Hugging Face hub, by its address or as
// two words.
std::optional<std::string> Repository(std::string text) {
  bool address = false;
  for (const std::string_view host :
       {"https://", "http://", "huggingface.co/", "hf.co/", "hf://"}) {
    if (!text.starts_with(host)) continue;
    text.erase(0, host.size());
    address = true;
  }
  if (address) {
    const size_t slash = text.find('/');
    if (slash == std::string::npos) return std::nullopt;
    text = text.substr(0, text.find_first_of("/?#", slash + 1));
  }
  const size_t slash = text.find('/');
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
  if (slash == 0 || slash == std::string::npos || slash + 1 == text.size() || text[0] == '.' ||
      text.find_first_not_of(kLetters, slash + 1) != std::string::npos ||
      text.find_first_not_of(kLetters) != slash) {
    return std::nullopt;
  }
  return text;
}

// Input that is no model folder or no checkpoint: throws an Error in the caller's area.
class Refusal {
 public:
  Refusal(std::string_view area, fs::path path, std::string want)
      : area_(area), path_(std::move(path)), want_(std::move(want)) {}

  [[noreturn]] void Because(std::string_view got, std::string_view advice) const {
    throw Error(area_, "'{}': got {}, want {}{}{}", Excerpt(path_.string(), 1000), got, want_,
                advice.empty() ? "" : "; ", advice);
  }

  [[noreturn]] void Missing() const {
    const std::string text = path_.string();
    const fs::path parent = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
    if (!path_.has_parent_path()) {
      std::vector<std::string> names;
      for (const NamedModel& model : ListModels(OwnModelsFolder(), ModelFolders(ReadConfigFile())))
        names.push_back(model.name);
      if (const std::string nearest = Nearest(text, names); !nearest.empty())
        Because("no model of that name", fmt::format("did you mean '{}'?", nearest));
    }
    if (IsFolder(parent)) {
      const std::string nearest = Nearest(path_.filename().string(), Entries(parent));
      if (!nearest.empty()) {
        const fs::path near =
            path_.has_parent_path() ? path_.parent_path() / nearest : fs::path(nearest);
        Because("nothing there", fmt::format("did you mean '{}'?", near.string()));
      }
    }
    if (path_.extension() == ".gguf") Gguf();
    if (const auto repository = Repository(text); repository && !IsFolder(parent)) {
      const std::string name = repository->substr(repository->find('/') + 1);
      Because("no such folder",
              fmt::format("if this is a repository on Hugging Face, download it (hf download {} "
                          "--local-dir {}) and convert it ({})",
                          *repository, name, ConvertCommand(name)));
    }
    Because("nothing there",
            text.find(' ') != std::string::npos && text.find('/') == std::string::npos
                ? "the model comes before the prompt"
                : "");
  }

  [[noreturn]] void Gguf() const {
    Because("a GGUF file, which Sinter does not read",
            "get the model's checkpoint in safetensors from Hugging Face and convert it: sinter "
            "convert CHECKPOINT [OUT]");
  }

  [[noreturn]] void File() const {
    std::error_code error;
    const fs::file_status status = fs::status(path_, error);
    if (status.type() != fs::file_type::regular)
      Because(error ? error.message() : "a special file", "");
    if (IsGguf(path_)) Gguf();
    if (IsLfsPointer(path_)) CheckDownload(Folder());
    if (IsFile(Folder() / kGenaiConfig)) {
      Because("a file", fmt::format("name its folder: {}", ShellWord(Folder().string())));
    }
    if (IsFile(Folder() / kHubConfig)) {
      Because("a file of a Hugging Face checkpoint",
              fmt::format("convert its folder: {}", ConvertCommand(Folder())));
    }
    const std::string extension = path_.extension().string();
    if (extension == ".onnx") {
      Because(
          "an ONNX file without genai_config.json beside it",
          "Sinter runs the folders of ONNX Runtime GenAI's model builder and of sinter convert");
    }
    if (extension == ".safetensors") {
      Because("a safetensors file without config.json beside it",
              "download the whole repository and convert its folder");
    }
    if (extension == ".bin" || extension == ".pt" || extension == ".pth") Pickle();
    struct Archive {
      std::string_view magic, command;
    };
    constexpr std::array<Archive, 5> kArchives = {{{"PK\x03\x04", "unzip"},
                                                   {"\x1f\x8b", "tar xzf"},
                                                   {"\xfd"
                                                    "7zXZ",
                                                    "tar xJf"},
                                                   {"\x28\xb5\x2f\xfd", "tar --zstd -xf"},
                                                   {"7z\xbc\xaf", "7z x"}}};
    const std::string first = FirstBytes(path_, 512);
    for (const Archive& archive : kArchives) {
      if (first.starts_with(archive.magic)) Unpack(archive.command);
    }
    if (first.size() > 262 && std::string_view(first).substr(257, 5) == "ustar") Unpack("tar xf");
    Because("a file", "");
  }

  [[noreturn]] void Pickle() const {
    Because("PyTorch's own format, which may run code when it is read",
            "save it with transformers' save_pretrained(), which writes safetensors, and convert "
            "that folder");
  }

  std::string_view area() const { return area_; }
  const std::string& want() const { return want_; }
  // Returns the folder of a file.
  fs::path Folder() const { return path_.has_parent_path() ? path_.parent_path() : fs::path("."); }

 private:
  [[noreturn]] void Unpack(std::string_view command) const {
    Because("an archive",
            fmt::format("unpack it first: {} {}", command, ShellWord(path_.string())));
  }

  std::string_view area_;
  fs::path path_;
  std::string want_;
};

// Refuses a folder with config.json that has no weights in safetensors.
[[noreturn]] void RefuseWeights(const Refusal& refusal, const fs::path& folder) {
  if (HasExtension(folder, ".bin") || HasExtension(folder, ".pth")) refusal.Pickle();
  if (IsFile(folder / "onnx" / "model.onnx") || HasExtension(folder, ".onnx")) {
    refusal.Because("ONNX files without genai_config.json",
                    "they are not from ONNX Runtime GenAI's model builder: convert the original "
                    "checkpoint's safetensors instead");
  }
  refusal.Because("config.json without weights", "is the download complete?");
}

bool HasSafetensors(const fs::path& folder) {
  return HasExtension(folder, ".safetensors") || IsPresent(folder / "model.safetensors.index.json");
}

// Refuses a folder that holds neither genai_config.json nor config.json.
[[noreturn]] void RefuseFolder(const Refusal& refusal, const fs::path& folder, bool convert) {
  if (IsFile(folder / "adapter_config.json")) {
    refusal.Because("a LoRA adapter", "merge it into its model first (PEFT's merge_and_unload)");
  }
  for (const std::string& name : Entries(folder)) {
    if (name.ends_with(".gguf")) Refusal(refusal.area(), folder / name, refusal.want()).Gguf();
  }
  const auto join = [](const std::vector<std::string>& folders) {
    std::vector<std::string> words;
    for (const std::string& name : folders) {
      if (words.size() == 8) {
        words.emplace_back("...");
        break;
      }
      words.push_back(ShellWord(name));
    }
    return fmt::format("{}", fmt::join(words, ", "));
  };
  const std::vector<std::string> models = FoldersWith(folder, kGenaiConfig);
  const std::vector<std::string> checkpoints = FoldersWith(folder, kHubConfig);
  if (!models.empty() && !convert) {
    throw Error(refusal.area(), "'{}': contains {} but is none itself; {}: {}",
                Excerpt(folder.string(), 1000),
                models.size() == 1 ? "a model folder" : "model folders",
                models.size() == 1 ? "name that one" : "choose one", join(models));
  }
  if (!checkpoints.empty()) {
    const bool one = checkpoints.size() == 1;
    throw Error(
        refusal.area(), "'{}': contains {} but is none itself; {}", Excerpt(folder.string(), 1000),
        one ? "a Hugging Face checkpoint" : "Hugging Face checkpoints",
        !convert ? fmt::format("convert {}: {}", one ? "it" : "one", ConvertCommand(checkpoints[0]))
                 : fmt::format("{}: {}", one ? "name that one" : "choose one", join(checkpoints)));
  }
  std::error_code ignored;
  if (fs::is_empty(folder, ignored)) refusal.Because("an empty folder", "");
  if (HasExtension(folder, ".onnx")) {
    refusal.Because("ONNX files without genai_config.json",
                    "Sinter runs the folders of ONNX Runtime GenAI's model builder and of sinter "
                    "convert");
  }
  if (HasSafetensors(folder)) {
    refusal.Because("safetensors files without config.json", "is the download complete?");
  }
  refusal.Because("a folder of other files", "");
}

[[noreturn]] void RefuseLfsPointer(const fs::path& file) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  throw Error("model",
              "'{}': got a Git LFS pointer, want the file itself; fetch it: git -C {} lfs pull "
              "(needs git-lfs)",
              file.string(), ShellWord(folder.string()));
}

// Returns the beginning of what the Hugging Face Hub answers in place of a file, or "".
std::string ServersAnswer(const fs::path& file) {
  constexpr std::array<std::string_view, 5> kAnswers = {
      "Access to model", "Invalid username or password", "Invalid credentials",
      "Repository not found", "Entry not found"};
  const std::string bytes = FirstBytes(file, 80);
  const bool found = std::ranges::any_of(
      kAnswers, [&](std::string_view answer) { return bytes.starts_with(answer); });
  return found ? bytes.substr(0, bytes.find('\n')) : "";
}

[[noreturn]] void RefuseServersAnswer(const fs::path& file, std::string_view answer) {
  throw Error(
      "model",
      "'{}': got the server's answer '{}', want the file itself; accept the model's licence "
      "on its page, log in (hf auth login), and download it again",
      file.string(), Excerpt(answer));
}

// Throws Error if Git LFS has left a pointer of one of the files that are always read.
void CheckSmallFiles(const fs::path& folder) {
  for (const char* name :
       {kGenaiConfig, "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
    if (IsLfsPointer(folder / name)) RefuseLfsPointer(folder / name);
  }
}

}  // namespace

void CheckTokenizerInput(const fs::path& path) {
  const Refusal refusal("tokenizer", path, "a folder with tokenizer.json");
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) refusal.Missing();
  if (status.type() != fs::file_type::directory) refusal.File();
  CheckSmallFiles(path);
}

void CheckModelInput(const fs::path& path) {
  const Refusal refusal("model", path,
                        "a model folder (genai_config.json, model.onnx, tokenizer.json) or a name");
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) refusal.Missing();
  if (status.type() != fs::file_type::directory) refusal.File();
  if (IsPresent(path / kGenaiConfig)) return CheckSmallFiles(path);
  if (!IsFile(path / kHubConfig)) RefuseFolder(refusal, path, /*convert=*/false);
  if (!HasSafetensors(path)) RefuseWeights(refusal, path);
  refusal.Because("a Hugging Face checkpoint",
                  fmt::format("convert it first: {}", ConvertCommand(path)));
}

void CheckCheckpointInput(const fs::path& path) {
  const Refusal refusal("convert", path,
                        "a Hugging Face checkpoint (config.json, safetensors, tokenizer.json)");
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) refusal.Missing();
  if (status.type() != fs::file_type::directory) refusal.File();
  if (!IsPresent(path / kHubConfig)) {
    if (IsFile(path / kGenaiConfig)) {
      refusal.Because("a model folder, which needs no conversion",
                      fmt::format("run it: sinter chat {}", ShellWord(path.string())));
    }
    RefuseFolder(refusal, path, /*convert=*/true);
  }
  if (!HasSafetensors(path)) RefuseWeights(refusal, path);
}

void CheckDownload(const fs::path& folder) {
  for (const std::string& name : Entries(folder)) {
    const fs::path file = folder / name;
    const std::string extension = file.extension().string();
    constexpr std::array<std::string_view, 6> kParts = {".onnx",        ".data", ".onnx_data",
                                                        ".safetensors", ".json", ".jinja"};
    if (std::ranges::find(kParts, extension) == kParts.end()) continue;
    if (IsLfsPointer(file)) RefuseLfsPointer(file);
    if (const std::string answer = ServersAnswer(file); !answer.empty())
      RefuseServersAnswer(file, answer);
  }
}

}  // namespace sinter::cli

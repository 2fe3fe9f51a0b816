// sinter list and sinter rm: the models that have a name.

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "base/bytes_text.h"
#include "base/error.h"
#include "base/excerpt.h"
#include "cli/commands.h"
#include "cli/config_file.h"
#include "cli/model_names.h"
#include "cli/standard_io.h"
#include "cli/status.h"
#include "cli/usage.h"
#include "engine/open.h"
#include "engine/tuner.h"
#include "gpu/device.h"
#include "model/model_folder.h"
#include "onnx/reader.h"
#include "run/plan_book.h"

namespace sinter::cli {
namespace {

constexpr char kListFooter[] =
    R"(A name stands for its folder in every command; a path that exists comes first. Models are folders in
${XDG_DATA_HOME:-~/.local/share}/sinter/models, where sinter convert puts them, and in the folders that the
configuration lists under "models". 'tuned' tells whether sinter tune, or chat, has measured the model on this
GPU.

Examples:
  sinter list
  sinter list --json)";

constexpr char kRemoveFooter[] =
    R"(Removes folders of ${XDG_DATA_HOME:-~/.local/share}/sinter/models only. A link there is removed, and what it
leads to is kept.

Examples:
  sinter rm qwen3-0.6b
  sinter rm qwen3-0.6b llama-3.2-1b --yes)";

struct ListArgs {
  std::string device;
  bool names = false;
  bool json = false;
};

struct RemoveArgs {
  std::vector<std::string> names;
  bool yes = false;
  bool json = false;
};

// What a model's folder tells about it.
struct Description {
  std::string type;
  int64_t context_length = 0;
  std::set<int64_t> bits;  // of its weights
  std::string problem;     // why the folder cannot be read; empty if it can
};

// Adds the bits of the quantized weights of a graph and its subgraphs.
void CollectBits(const graph::Graph& graph, std::set<int64_t>& bits) {
  for (const auto& node : graph.nodes()) {
    if (node->op() == "MatMulNBits" || node->op() == "GatherBlockQuantized")
      bits.insert(node->Int("bits", 4));
    if (node->op() == "QMoE") bits.insert(node->Int("expert_weight_bits", 4));
    for (const auto& [name, attribute] : node->attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<graph::Graph>>(&attribute))
        CollectBits(**body, bits);
    }
  }
}

Description Describe(const std::filesystem::path& folder) {
  Description description;
  try {
    const model::GenaiConfig config = model::ReadGenaiConfig(folder / "genai_config.json");
    description.type = config.type;
    description.context_length = config.context_length;
    const auto graph = onnx::ReadModel(folder / config.filename);
    CollectBits(*graph, description.bits);
    if (!description.bits.empty()) return description;
    // Without quantized weights, the largest constant tells.
    const graph::Tensor* largest = nullptr;
    for (const graph::Value* value : graph->values()) {
      if (value->constant &&
          (largest == nullptr || value->constant->bytes.size() > largest->bytes.size()))
        largest = &*value->constant;
    }
    if (largest != nullptr)
      description.bits.insert(8 * static_cast<int64_t>(DTypeBytes(largest->dtype, 1)));
  } catch (const Error& error) {
    description.problem = error.what();
  }
  return description;
}

// Tells whether models are tuned on an adapter. Opens none where nothing was ever measured.
class TunedModels {
 public:
  explicit TunedModels(std::string device) : device_name_(std::move(device)) {
    const std::filesystem::path cache = gpu::DefaultCacheDir();
    std::error_code error;
    for (std::filesystem::directory_iterator entry(cache, error), end; !error && entry != end;
         entry.increment(error)) {
      measured_ = measured_ || entry->path().filename().string().starts_with("plans-");
    }
  }

  // Returns nullopt if there is no GPU, or the model cannot be used on it.
  std::optional<bool> Has(const std::filesystem::path& folder) {
    if (!measured_) return false;
    try {
      if (device_ == nullptr) {
        device_ = gpu::Device::Open({.adapter = device_name_, .cache_dir = gpu::DefaultCacheDir()});
        measured_ = run::PlanBook(device_->adapter(), gpu::DefaultCacheDir()).size() > 0;
        if (!measured_) return false;
      }
      engine::Model model(model::ModelFolder::Read(folder), device_, {.plans_on_disk = true});
      const auto kinds =
          engine::CountTunedKinds(model, engine::WantedLength(model.config(), std::nullopt));
      return kinds.all > 0 && kinds.known == kinds.all;
    } catch (const Error&) {
      return std::nullopt;
    }
  }

 private:
  std::string device_name_;
  bool measured_ = false;
  std::shared_ptr<gpu::Device> device_;
};

// Returns the path with the home folder as ~.
std::string ShortPath(const std::filesystem::path& path) {
  const std::optional<std::string> home = Variable("HOME");
  const std::string text = path.string();
  return home && text.starts_with(*home + "/") ? "~" + text.substr(home->size()) : text;
}

nlohmann::json ToJson(const NamedModel& model, const Description& description, uint64_t bytes,
                      std::optional<bool> tuned) {
  return {{"name", model.name},
          {"folder", model.folder.string()},
          {"own", model.own},
          {"bytes", bytes},
          {"type", description.type},
          {"bits", description.bits},
          {"context_length", description.context_length},
          {"tuned", tuned ? nlohmann::json(*tuned) : nlohmann::json()},
          {"problem", description.problem}};
}

void List(const ListArgs& args) {
  const std::filesystem::path own = OwnModelsFolder();
  const std::vector<NamedModel> models = ListModels(own, ModelFolders(ReadConfigFile()));
  if (args.names) {
    for (const NamedModel& model : models) Out(model.name + "\n");
    return;
  }
  StatusLine status("reading the models");
  TunedModels tuned_models(args.device);
  nlohmann::json list = nlohmann::json::array();
  size_t width = 4, type_width = 12;
  for (const NamedModel& model : models) {
    CheckInterrupted();
    const Description description = Describe(model.folder);
    list.push_back(
        ToJson(model, description, FolderBytes(model.folder),
               description.problem.empty() ? tuned_models.Has(model.folder) : std::nullopt));
    width = std::max(width, model.name.size());
    type_width = std::max(type_width, description.type.size());
  }
  status.End();
  if (args.json) return OutJson({{"models_folder", own.string()}, {"models", list}});
  if (list.empty()) {
    return Out(fmt::format("no models in {} yet: sinter convert CHECKPOINT puts one there\n",
                           own.empty() ? "~/.local/share/sinter/models" : ShortPath(own)));
  }
  std::string text =
      fmt::format("{:<{}}  {:>8}  {:<{}}  {:>4}  {:>7}  {:<5}  {}\n", "name", width, "size",
                  "architecture", type_width, "bits", "context", "tuned", "folder");
  for (const nlohmann::json& model : list) {
    const std::string name = Excerpt(model["name"].get<std::string>());
    const std::string problem = model["problem"].get<std::string>();
    if (!problem.empty()) {
      text += fmt::format("{:<{}}  cannot be read: {}\n", name, width, Excerpt(problem, 400));
      continue;
    }
    text += fmt::format(
        "{:<{}}  {:>8}  {:<{}}  {:>4}  {:>7}  {:<5}  {}\n", name, width,
        BytesText(model["bytes"].get<uint64_t>()), Excerpt(model["type"].get<std::string>()),
        type_width, fmt::format("{}", fmt::join(model["bits"].get<std::vector<int64_t>>(), "+")),
        model["context_length"].get<int64_t>(),
        model["tuned"].is_null()     ? "?"
        : model["tuned"].get<bool>() ? "yes"
                                     : "no",
        Excerpt(ShortPath(model["folder"].get<std::string>()), 300));
  }
  Out(text);
}

// Asks on the terminal whether to remove the folders. Throws Error if the answer is no.
void Ask(const std::vector<std::filesystem::path>& folders) {
  for (const std::filesystem::path& folder : folders)
    Err(fmt::format("{}  {}\n", BytesText(FolderBytes(folder)), ShortPath(folder)));
  Err(folders.size() == 1 ? "Remove it? [y/N] " : "Remove them? [y/N] ");
  std::string answer = ReadLine().value_or("");
  for (char& c : answer) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  CheckInterrupted();
  if (answer != "y" && answer != "yes")
    throw Error("cli", "nothing was removed: the answer was not 'y'");
}

void Remove(const RemoveArgs& args) {
  const std::filesystem::path own = OwnModelsFolder();
  // Nothing is removed if one of the names is wrong.
  std::vector<std::string> names;
  std::vector<std::filesystem::path> folders;
  for (const std::string& name : args.names) {
    if (std::ranges::find(names, name) != names.end()) continue;
    names.push_back(name);
    folders.push_back(FindOwnModel(own, name));
  }
  if (!args.yes) {
    if (args.json || isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0)
      throw UsageError("there is no terminal to ask on; add --yes");
    Ask(folders);
  }
  nlohmann::json removed = nlohmann::json::array();
  for (size_t i = 0; i < folders.size(); ++i) {
    const uint64_t bytes = FolderBytes(folders[i]);
    RemoveOwnModel(own, names[i]);
    if (args.json) {
      removed.push_back({{"name", names[i]}, {"folder", folders[i].string()}, {"bytes", bytes}});
    } else {
      Out(fmt::format("removed {} ({})\n", names[i], BytesText(bytes)));
    }
  }
  if (args.json) OutJson({{"removed", removed}});
}

}  // namespace

void AddList(CLI::App& app) {
  auto args = std::make_shared<ListArgs>();
  CLI::App* command = app.add_subcommand("list", "List the models that have a name");
  command->footer(kListFooter);
  command
      ->add_option("--device", args->device,
                   "GPU for 'tuned': an index, a part of its name, or 'software'")
      ->type_name("GPU");
  CLI::Option* json = command->add_flag("--json", args->json, "Print JSON");
  command->add_flag("--names", args->names, "Print the names alone, one a line")
      ->configurable(false)
      ->excludes(json);
  command->callback([args] { List(*args); });
}

void AddRemove(CLI::App& app) {
  auto args = std::make_shared<RemoveArgs>();
  CLI::App* command = app.add_subcommand("rm", "Remove models from the folder of models");
  command->footer(kRemoveFooter);
  command->add_option("NAME", args->names, "Models, as sinter list names them")
      ->required()
      ->type_name("MODEL_NAME");
  command->add_flag("-y,--yes", args->yes, "Do not ask")->configurable(false);
  command->add_flag("--json", args->json, "Print JSON");
  command->callback([args] { Remove(*args); });
}

}  // namespace sinter::cli

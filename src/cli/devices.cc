// sinter devices: lists the GPUs and what they can do, and says why one is missing or refused.

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/bytes_text.h"
#include "base/error.h"
#include "cli/commands.h"
#include "cli/model_args.h"
#include "cli/standard_io.h"
#include "cli/status.h"
#include "engine/tuner.h"
#include "gpu/process_limits.h"
#include "model/chunking.h"
#include "run/plan_book.h"

namespace sinter::cli {
namespace {

constexpr char kDevicesFooter[] =
    R"(For each adapter: what it can do, and whether a device opens on it and moves bytes. Below them: the
Vulkan drivers that were asked, and what to do where a GPU is missing. Exit code 1 where none works.

Examples:
  sinter devices
  sinter devices --device software --json
  sinter devices models/demo)";

struct DevicesArgs {
  std::string device, model;
  bool json = false;
};

// JSON file that names a Vulkan driver.
struct DriverManifest {
  std::string path;
  bool readable = false;
};

// Returns the drivers that the environment tells Vulkan to load. The launcher sets these variables.
std::vector<DriverManifest> Drivers() {
  std::vector<DriverManifest> drivers;
  const char* list = std::getenv("VK_DRIVER_FILES");
  if (list == nullptr || *list == '\0') list = std::getenv("VK_ICD_FILENAMES");
  std::string_view rest = list == nullptr ? "" : list;
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    const std::string path(rest.substr(0, colon));
    if (!path.empty()) drivers.push_back({path, access(path.c_str(), R_OK) == 0});
    rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  }
  return drivers;
}

// Returns the Linux kernel's render nodes: one for each GPU, whether or not Vulkan has a driver for
// it.
std::vector<std::string> RenderNodes() {
  std::vector<std::string> nodes;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/dri", error)) {
    if (entry.path().filename().string().starts_with("renderD")) nodes.push_back(entry.path());
  }
  std::sort(nodes.begin(), nodes.end());
  return nodes;
}

// Returns what the user can do about GPUs that are missing from the list.
std::vector<std::string> Advice(const std::vector<gpu::AdapterInfo>& adapters,
                                const std::vector<DriverManifest>& drivers) {
  std::vector<std::string> advice;
  // Under too low a limit drivers do not load, so that nothing else can be told.
  if (const std::string problem = gpu::AddressSpaceProblem();
      adapters.empty() && !problem.empty()) {
    return {problem};
  }
  const auto any = [&](auto&& predicate) {
    return std::any_of(adapters.begin(), adapters.end(), predicate);
  };
  for (const DriverManifest& driver : drivers) {
    if (!driver.readable) {
      advice.push_back(
          fmt::format("{} cannot be read: correct VK_DRIVER_FILES, or unset it", driver.path));
    }
  }
  const bool nvidia_node = access("/dev/nvidia0", F_OK) == 0;
  const bool nvidia = any([](const gpu::AdapterInfo& info) { return info.vendor == "nvidia"; });
  if (nvidia_node && !nvidia) {
    advice.emplace_back(
        "there is an NVIDIA GPU (/dev/nvidia0) but no Vulkan driver for it: install the libraries "
        "that "
        "belong to the kernel's driver (nvidia_icd.json, libGLX_nvidia.so.0); in a container, "
        "start "
        "it with NVIDIA_DRIVER_CAPABILITIES=all");
  }
  const std::vector<std::string> nodes = RenderNodes();
  const bool hardware = any([](const gpu::AdapterInfo& info) { return !info.software; });
  for (const std::string& node : nodes) {
    if (access(node.c_str(), R_OK | W_OK) != 0) {
      advice.push_back(
          fmt::format("there is a GPU ({}) that this user may not open: add the user to "
                      "the group that owns it (render or video), or give the container the device",
                      node));
    } else if (!hardware && !nvidia_node) {
      advice.push_back(
          fmt::format("there is a GPU ({}) but no Vulkan driver took it: AMD and Intel need "
                      "mesa-vulkan-drivers, NVIDIA its own driver's libraries",
                      node));
    }
  }
  if (adapters.empty()) {
    advice.emplace_back(
        "no adapter at all: install a GPU's Vulkan driver or Mesa's software GPU (Debian's "
        "mesa-vulkan-drivers), or add the software GPU to this copy: cmake --install BUILD "
        "--prefix THIS_FOLDER --component software");
  } else if (!hardware && nodes.empty() && !nvidia_node && gpu::AddressSpaceProblem().empty()) {
    advice.emplace_back(
        "only a software GPU: this machine shows no GPU (no /dev/dri/renderD*, no "
        "/dev/nvidia0); everything works, slowly");
  }
  return advice;
}

nlohmann::json ToJson(const gpu::AdapterInfo& info, const std::string& problem) {
  const Limits& limits = info.caps.limits;
  nlohmann::json matrices = nlohmann::json::array();
  for (const SubgroupMatrixConfig& config : info.caps.subgroup_matrix) {
    matrices.push_back({{"component", DTypeName(config.component)},
                        {"result", DTypeName(config.result)},
                        {"m", config.m},
                        {"n", config.n},
                        {"k", config.k}});
  }
  return {{"index", info.index},
          {"name", info.name},
          {"vendor", info.vendor},
          {"architecture", info.architecture},
          {"driver", info.driver},
          {"type", info.type},
          {"backend", info.backend},
          {"software", info.software},
          {"memory_bytes", info.memory_bytes},
          {"shares_main_memory", info.shares_main_memory},
          {"usable", problem.empty()},
          {"problem", problem},
          {"refused", info.refused},
          {"features", info.features},
          {"f16", info.caps.f16},
          {"subgroups", info.caps.subgroups},
          {"subgroup_size", {info.caps.subgroup_min_size, info.caps.subgroup_max_size}},
          {"subgroup_matrix", matrices},
          {"timestamps", info.caps.timestamps},
          {"limits",
           {{"max_buffer_bytes", limits.max_buffer_size},
            {"max_storage_binding_bytes", limits.max_storage_binding_bytes},
            {"max_storage_buffers_per_stage", limits.max_storage_buffers_per_stage},
            {"max_workgroup_storage_bytes", limits.max_workgroup_storage_bytes},
            {"max_invocations_per_workgroup", limits.max_invocations_per_workgroup},
            {"max_workgroup_size_x", limits.max_workgroup_size_x},
            {"max_workgroups_per_dimension", limits.max_workgroups_per_dimension}}}};
}

std::string ToText(const gpu::AdapterInfo& info, const std::string& problem) {
  const Caps& caps = info.caps;
  const auto yes_no = [](bool yes) { return yes ? "yes" : "no"; };
  std::string text = fmt::format("{}: {}\n", info.index, info.name);
  const auto line = [&](std::string_view what, const std::string& value) {
    text += fmt::format("   {:<15} {}\n", what, value);
  };
  line("type", fmt::format("{} ({}{}{}, {})", info.type, info.vendor,
                           info.architecture.empty() ? "" : " ", info.architecture, info.backend));
  line("driver", info.driver);
  if (info.memory_bytes != 0) {
    line("memory", BytesText(info.memory_bytes) +
                       (info.shares_main_memory ? ", part of main memory" : ", used or not"));
  }
  line("f16", caps.f16 ? "yes" : "no (f16 models run in f32 and take twice the memory)");
  line("subgroups", caps.subgroups ? fmt::format("{} to {} lanes", caps.subgroup_min_size,
                                                 caps.subgroup_max_size)
                                   : "no");
  std::vector<std::string> matrices;
  for (const SubgroupMatrixConfig& config : caps.subgroup_matrix) {
    matrices.push_back(fmt::format("{}x{}x{} {} -> {}", config.m, config.n, config.k,
                                   DTypeName(config.component), DTypeName(config.result)));
  }
  line("matrix units", matrices.empty() ? "no" : fmt::format("{}", fmt::join(matrices, ", ")));
  line("packed products", yes_no(caps.packed_dot_product));
  line("timestamps", yes_no(caps.timestamps));
  line("limits",
       fmt::format(
           "buffer {}, binding {}, {} storage buffers, workgroup {} threads and {}",
           BytesText(caps.limits.max_buffer_size), BytesText(caps.limits.max_storage_binding_bytes),
           caps.limits.max_storage_buffers_per_stage, caps.limits.max_invocations_per_workgroup,
           BytesText(caps.limits.max_workgroup_storage_bytes)));
  line("usable", problem.empty() ? "yes" : "no: " + problem);
  return text;
}

// Returns why the adapter cannot be used: it is refused, no device opens on it, or uploaded bytes
// do not come back. Returns an empty text for an adapter that works.
std::string Problem(const gpu::AdapterInfo& info) {
  if (!info.refused.empty()) return info.refused;
  try {
    const auto device = gpu::Device::Open({.adapter = std::to_string(info.index)});
    std::vector<std::byte> data(1 << 16);
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 31 + i / 256);
    const gpu::Buffer buffer = device->CreateBuffer(data.size(), "test");
    device->Upload(buffer, 0, data);
    return device->Download(buffer, 0, data.size()) == data ? "" : "bytes come back changed";
  } catch (const Error& error) {
    return error.what();
  }
}

// Progress of measuring plans on an adapter (sinter tune).
struct Tuning {
  size_t plans = 0;  // measured plans of all models
  // Kinds of dispatch of the given model; nullopt if no model was given.
  std::optional<engine::ProgramSet::KindCount> model;
};

Tuning TuningOf(const gpu::AdapterInfo& info, const std::string& folder) {
  Tuning tuning = {.plans = run::PlanBook(info, gpu::DefaultCacheDir()).size()};
  if (folder.empty()) return tuning;
  const auto device = gpu::Device::Open(
      {.adapter = std::to_string(info.index), .cache_dir = gpu::DefaultCacheDir()});
  engine::Model model(ReadModel({.model = folder}), device, {.plans_on_disk = true});
  tuning.model = engine::CountTunedKinds(model, engine::WantedLength(model.config(), std::nullopt));
  return tuning;
}

std::string TuningText(const Tuning& tuning, const std::string& folder) {
  std::string text =
      tuning.plans == 0
          ? "no plans measured, guesses are used (sinter tune MODEL)"
          : fmt::format("{} plans measured on this adapter with this driver", tuning.plans);
  if (tuning.model) {
    text += fmt::format("; {} has {} of {} kinds measured", folder, tuning.model->known,
                        tuning.model->all);
  }
  return fmt::format("   {:<15} {}\n", "tuned", text);
}

void Devices(const DevicesArgs& args) {
  const std::vector<gpu::AdapterInfo> adapters = [] {
    const StatusLine status("looking for GPUs");
    return gpu::ListAdapters();
  }();
  const std::vector<DriverManifest> drivers = Drivers();
  const std::vector<std::string> advice = Advice(adapters, drivers);
  int only = -1;
  if (!args.device.empty() && !adapters.empty()) {
    only = gpu::Device::Open({.adapter = args.device})->adapter().index;
  }
  nlohmann::json list = nlohmann::json::array();
  int best = -1;
  for (const gpu::AdapterInfo& info : adapters) {
    if (only >= 0 && only != info.index) continue;
    CheckInterrupted();
    StatusLine status("checking " + info.name);
    const std::string problem = Problem(info);
    if (best < 0 && problem.empty()) best = info.index;
    Tuning tuning;
    if (problem.empty()) tuning = TuningOf(info, args.model);
    status.End();
    if (args.json) {
      nlohmann::json entry = ToJson(info, problem);
      entry["plans_measured"] = tuning.plans;
      if (tuning.model) {
        entry["model"] = {{"kinds_measured", tuning.model->known}, {"kinds", tuning.model->all}};
      }
      list.push_back(std::move(entry));
    } else {
      Out(ToText(info, problem) + (problem.empty() ? TuningText(tuning, args.model) : ""));
    }
  }
  if (args.json) {
    nlohmann::json driver_list = nlohmann::json::array();
    for (const DriverManifest& driver : drivers) {
      driver_list.push_back({{"manifest", driver.path}, {"readable", driver.readable}});
    }
    OutJson({{"adapters", list},
             {"default", best < 0 ? nlohmann::json() : nlohmann::json(best)},
             {"drivers", driver_list},
             {"advice", advice}});
  } else {
    if (best >= 0 && only < 0) Out(fmt::format("default: {} (another: --device)\n", best));
    for (const DriverManifest& driver : drivers) {
      Out(fmt::format("driver: {}{}\n", driver.path, driver.readable ? "" : " (cannot be read)"));
    }
    for (const std::string& line : advice) Out(fmt::format("note: {}\n", line));
  }
  if (best < 0) {
    if (const std::string problem = gpu::AddressSpaceProblem(); !problem.empty())
      throw Error("gpu", "{}", problem);
    throw Error(
        "gpu",
        "adapters: got none that works, want a Vulkan driver: a GPU's own, or Mesa's software GPU");
  }
}

}  // namespace

void AddDevices(CLI::App& app) {
  auto args = std::make_shared<DevicesArgs>();
  CLI::App* command =
      app.add_subcommand("devices", "Check this machine's GPUs, and say what is missing");
  command->footer(kDevicesFooter);
  TakeModelName(*command->add_option(
      "MODEL", args->model, "Model: also tell how much of it is tuned (see: sinter tune)"));
  command
      ->add_option("--device", args->device,
                   "Check only this one: an index, a part of its name, or 'software'")
      ->type_name("GPU")
      ->configurable(false);
  command->add_flag("--json", args->json, "Print JSON");
  command->callback([args] { Devices(*args); });
}

}  // namespace sinter::cli

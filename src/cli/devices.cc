// sinter devices: what GPUs there are, what they can do, and why one is refused.

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/common.h"

namespace sinter::cli {
namespace {

struct DevicesArgs {
  std::string device;
  bool json = false;
};

nlohmann::json ToJson(const gpu::AdapterInfo& info, const std::string& test) {
  const gpu::Limits& limits = info.caps.limits;
  nlohmann::json matrices = nlohmann::json::array();
  for (const gpu::SubgroupMatrixConfig& config : info.caps.subgroup_matrix) {
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
          {"features", info.features},
          {"subgroup_size", {info.caps.subgroup_min_size, info.caps.subgroup_max_size}},
          {"subgroup_matrix", matrices},
          {"max_buffer_bytes", limits.max_buffer_size},
          {"max_storage_binding_bytes", limits.max_storage_binding_bytes},
          {"max_storage_buffers_per_stage", limits.max_storage_buffers_per_stage},
          {"max_workgroup_storage_bytes", limits.max_workgroup_storage_bytes},
          {"max_invocations_per_workgroup", limits.max_invocations_per_workgroup},
          {"refused", info.refused},
          {"test", test}};
}

void Print(const gpu::AdapterInfo& info, const std::string& test) {
  const gpu::Caps& caps = info.caps;
  const auto yes_no = [](bool yes) { return yes ? "yes" : "no"; };
  fmt::print("{}: {}\n", info.index, info.name);
  fmt::print("   type            {} ({}{}{}, {})\n", info.type, info.vendor, info.architecture.empty() ? "" : " ",
             info.architecture, info.backend);
  fmt::print("   driver          {}\n", info.driver);
  fmt::print("   f16             {}{}\n", yes_no(caps.f16), caps.f16 ? "" : " (f16 models run in f32)");
  if (caps.subgroups) {
    fmt::print("   subgroups       {} to {} lanes\n", caps.subgroup_min_size, caps.subgroup_max_size);
  } else {
    fmt::print("   subgroups       no\n");
  }
  std::vector<std::string> matrices;
  for (const gpu::SubgroupMatrixConfig& config : caps.subgroup_matrix) {
    matrices.push_back(fmt::format("{}x{}x{} {} -> {}", config.m, config.n, config.k, DTypeName(config.component),
                                   DTypeName(config.result)));
  }
  fmt::print("   matrix units    {}\n", matrices.empty() ? "no" : fmt::format("{}", fmt::join(matrices, ", ")));
  fmt::print("   timestamps      {}\n", yes_no(caps.timestamps));
  fmt::print("   limits          buffer {}, binding {}, {} storage buffers, workgroup {} threads and {}\n",
             BytesText(caps.limits.max_buffer_size), BytesText(caps.limits.max_storage_binding_bytes),
             caps.limits.max_storage_buffers_per_stage, caps.limits.max_invocations_per_workgroup,
             BytesText(caps.limits.max_workgroup_storage_bytes));
  fmt::print("   usable          {}\n", info.refused.empty() ? test : "no: " + info.refused);
}

// Whether a device opens and moves bytes; the reason where it does not.
std::string Test(const gpu::AdapterInfo& info) {
  if (!info.refused.empty()) return "refused";
  try {
    const auto device = gpu::Device::Open({.adapter = std::to_string(info.index)});
    std::vector<std::byte> data(1 << 16);
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 31 + i / 256);
    const gpu::Buffer buffer = device->CreateBuffer(data.size(), "test");
    device->Upload(buffer, 0, data);
    return device->Download(buffer, 0, data.size()) == data ? "yes" : "no: bytes come back changed";
  } catch (const std::exception& error) {
    return std::string("no: ") + error.what();
  }
}

void Devices(const DevicesArgs& args) {
  const std::vector<gpu::AdapterInfo> adapters = gpu::ListAdapters();
  std::string chosen;
  if (!args.device.empty()) chosen = std::to_string(gpu::Device::Open({.adapter = args.device})->adapter().index);
  if (adapters.empty()) {
    throw Error("gpu", "adapters: got none, want a Vulkan driver (a GPU's own, or Mesa's lavapipe for software)");
  }
  nlohmann::json list = nlohmann::json::array();
  for (const gpu::AdapterInfo& info : adapters) {
    if (!chosen.empty() && chosen != std::to_string(info.index)) continue;
    const std::string test = Test(info);
    if (args.json) {
      list.push_back(ToJson(info, test));
    } else {
      Print(info, test);
    }
  }
  if (args.json) fmt::print("{}\n", list.dump(2));
}

}  // namespace

void AddDevices(CLI::App& app) {
  auto args = std::make_shared<DevicesArgs>();
  CLI::App* command = app.add_subcommand("devices", "List GPUs, what they can do, and why one is refused");
  command->add_option("--device", args->device, "Only this one: an index, a part of its name, or 'software'");
  command->add_flag("--json", args->json, "Machine-readable output");
  command->callback([args] { Devices(*args); });
}

}  // namespace sinter::cli

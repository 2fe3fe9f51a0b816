#include "kernels/shader_source.h"

#include <algorithm>

#include "base/file.h"

namespace sinter::kernels {
namespace {

std::filesystem::path& OverrideDir() {
  static std::filesystem::path dir;
  return dir;
}

// The `#if` names that stand for WGSL extensions, and the extension that each one enables.
constexpr std::pair<std::string_view, std::string_view> kExtensions[] = {
    {"f16", "f16"},
    {"subgroups", "subgroups"},
    {"subgroup_matrix", "chromium_experimental_subgroup_matrix"},
};

}  // namespace

void SetWgslOverrideDir(const std::filesystem::path& dir) { OverrideDir() = dir; }

std::optional<std::string> ReadWgsl(std::string_view path) {
  if (!OverrideDir().empty()) {
    const std::filesystem::path file = OverrideDir() / path;
    if (IsPresent(file)) return ReadSmallFile(file, "wgsl", "a shader");
  }
  for (const auto& [name, text] : EmbeddedWgsl()) {
    if (name == path) return std::string(text);
  }
  return std::nullopt;
}

wgsl::Shader ExpandPlan(const KernelPlan& plan) {
  std::vector<std::string> extensions;
  for (const auto& [define, extension] : kExtensions) {
    if (std::find(plan.defines.begin(), plan.defines.end(), define) != plan.defines.end()) {
      extensions.emplace_back(extension);
    }
  }
  return {plan.variant,
          wgsl::ExpandWgsl(ReadWgsl, plan.wgsl, plan.defines, plan.prelude, extensions)};
}

}  // namespace sinter::kernels

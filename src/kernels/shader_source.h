// Where shader text comes from: the files embedded at build time, or a folder that overrides them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/kernel_plan.h"
#include "wgsl/shader.h"

namespace sinter::kernels {

// (path below src/kernels, text) of every shader in this build.
const std::vector<std::pair<std::string_view, std::string_view>>& EmbeddedWgsl();

// Shaders are read from `dir` first from now on, so that they can be changed without a build.
// Empty: embedded only.
void SetWgslOverrideDir(const std::filesystem::path& dir);

std::optional<std::string> ReadWgsl(std::string_view path);

// What the plan's pipeline is compiled from.
wgsl::Shader ExpandPlan(const KernelPlan& plan);

}  // namespace sinter::kernels

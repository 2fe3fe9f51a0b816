// Provides the text of shaders: from the files embedded at build time, or from a folder that
// overrides them.
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

// Returns (path below src/kernels, text) of every shader in this build.
const std::vector<std::pair<std::string_view, std::string_view>>& EmbeddedWgsl();

// Makes later reads look in `dir` first, so that shaders can be changed without a build. An empty
// path selects the embedded files only.
void SetWgslOverrideDir(const std::filesystem::path& dir);

std::optional<std::string> ReadWgsl(std::string_view path);

// Returns the expanded shader from which the plan's pipeline is compiled.
wgsl::Shader ExpandPlan(const KernelPlan& plan);

}  // namespace sinter::kernels

// Folders of the user that the XDG base directory specification names.
#pragma once

#include <filesystem>

namespace sinter {

// Returns the folder that the environment variable `xdg` (XDG_CACHE_HOME, say) names, or else
// `below_home` in HOME; an empty path if HOME is not set either. A relative path in `xdg` counts as
// not set, as the specification demands.
std::filesystem::path UserFolder(const char* xdg, const char* below_home);

}  // namespace sinter

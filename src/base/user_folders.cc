#include "base/user_folders.h"

#include <cstdlib>

namespace sinter {

std::filesystem::path UserFolder(const char* xdg, const char* below_home) {
  if (const char* folder = std::getenv(xdg); folder != nullptr && *folder == '/') return folder;
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return std::filesystem::path(home) / below_home;
}

}  // namespace sinter

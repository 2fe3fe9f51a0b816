#include "base/check.h"

#include <string_view>

namespace sinter {

void FailCheck(const char* file, int line, const char* condition, const std::string& message) {
  std::string_view path = file;
  if (const size_t at = path.rfind("/src/"); at != std::string_view::npos)
    path.remove_prefix(at + 1);
  throw BugError(fmt::format("[bug] {}:{}: {} does not hold{}{}", path, line, condition,
                             message.empty() ? "" : ": ", message));
}

}  // namespace sinter

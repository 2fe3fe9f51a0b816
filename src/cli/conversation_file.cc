#include "cli/conversation_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <system_error>

namespace sinter::cli {

std::string ConversationText(const generate::Messages& messages, const std::string& tools_json) {
  const std::string array =
      messages.empty() ? "[]" : fmt::format("[\n{}\n]", fmt::join(messages, ",\n"));
  if (tools_json.empty()) return array + "\n";
  return fmt::format("{{\n\"tools\": {},\n\"messages\": {}\n}}\n", tools_json, array);
}

bool HasContents(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, error);
  if (!std::filesystem::exists(status)) return false;
  return !std::filesystem::is_regular_file(path, error) ||
         std::filesystem::file_size(path, error) != 0;
}

}  // namespace sinter::cli

#include "cli/conversation_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "cli/user_file.h"

namespace sinter::cli {
namespace {

// Returns whether the path leads to a file of exactly this text.
bool HasText(const std::filesystem::path& path, std::string_view text) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error) ||
      std::filesystem::file_size(path, error) != text.size()) {
    return false;
  }
  std::ifstream file(path, std::ios::binary);
  return std::equal(std::istreambuf_iterator<char>(file), {}, text.begin(), text.end());
}

}  // namespace

std::string ConversationText(const generate::Messages& messages, const std::string& tools_json) {
  const std::string array =
      messages.empty() ? "[]" : fmt::format("[\n{}\n]", fmt::join(messages, ",\n"));
  if (tools_json.empty()) return array + "\n";
  return fmt::format("{{\n\"tools\": {},\n\"messages\": {}\n}}\n", tools_json, array);
}

SessionFile::SessionFile(std::filesystem::path path)
    : path_(std::move(path)), identity_(IdentityNow()) {}

bool SessionFile::Is(const std::filesystem::path& path) const {
  std::error_code error;
  return std::filesystem::equivalent(path_, path, error);
}

void SessionFile::Write(std::string_view text) {
  const Identity now = IdentityNow();
  // A file that was removed is written again.
  if (now != identity_ && now != Identity{}) {
    throw Error("chat",
                "--session: got a file that another program has changed, want it as the last turn "
                "left it; it stays as it is, and /save FILE saves this conversation");
  }
  ReplaceUserFile(path_, text, 0600);
  Adopt();
}

SessionFile::Identity SessionFile::IdentityNow() const {
  struct stat status = {};
  if (stat(path_.c_str(), &status) != 0) return {};
  return {static_cast<int64_t>(status.st_dev), static_cast<int64_t>(status.st_ino), status.st_size,
          status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

std::filesystem::path KeepCopy(const std::filesystem::path& path, std::string_view text) {
  for (int number = 1;; ++number) {
    std::filesystem::path copy =
        path.string() + (number == 1 ? ".bak" : fmt::format(".bak{}", number));
    if (HasContents(copy)) {
      if (HasText(copy, text)) return copy;
      continue;
    }
    ReplaceUserFile(copy, text, 0600);
    return copy;
  }
}

bool HasContents(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, error);
  if (!std::filesystem::exists(status)) return false;
  return !std::filesystem::is_regular_file(path, error) ||
         std::filesystem::file_size(path, error) != 0;
}

}  // namespace sinter::cli

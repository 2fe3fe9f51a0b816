#include "cli/history.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/user_folders.h"
#include "cli/user_file.h"
#include "text/utf8.h"

namespace sinter::cli {
namespace {

// One line of the file: the message with \n for its line ends and \\ for backslashes.
std::string ToLine(std::string_view message) {
  std::string line;
  for (const char c : message) {
    if (c == '\n' || c == '\\') line += '\\';
    line += c == '\n' ? 'n' : c;
  }
  return line + "\n";
}

std::string FromLine(std::string_view line) {
  std::string message;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool escape = line[i] == '\\' && i + 1 < line.size();
    if (escape) ++i;
    message += escape && line[i] == 'n' ? '\n' : line[i];
  }
  return text::SanitizeUtf8(message);
}

// Appends a line to the file, which is made if needed, with its folder. Gives up if it cannot.
void AppendLine(const std::filesystem::path& path, std::string_view line) {
  std::error_code error;
  const std::filesystem::path folder = path.parent_path();
  std::filesystem::create_directories(folder.parent_path(), error);
  mkdir(folder.c_str(), 0700);
  const FileDescriptor file(
      open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600));
  struct stat status = {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  flock(file.get(), LOCK_EX | LOCK_NB);
  // A line goes out in one call, so that it is whole even without the lock.
  [[maybe_unused]] const ssize_t written = write(file.get(), line.data(), line.size());
}

}  // namespace

std::filesystem::path HistoryPath() {
  const std::filesystem::path state = UserFolder("XDG_STATE_HOME", ".local/state");
  return state.is_absolute() ? state / "sinter/history" : std::filesystem::path();
}

History::History(std::filesystem::path path) : path_(std::move(path)) {
  if (path_.empty()) return;
  std::string text;
  try {
    text = ReadSmallFile(path_, "cli", "a history");
  } catch (const Error&) {
    return;
  }
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin)
      entries_.push_back(FromLine(std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  const size_t count = entries_.size();
  if (count > kMaxHistoryEntries) {
    entries_.erase(entries_.begin(),
                   entries_.end() - static_cast<std::ptrdiff_t>(kMaxHistoryEntries));
  }
  // The file may have twice as many entries before it is written anew.
  if (count <= 2 * kMaxHistoryEntries) return;
  std::string kept;
  for (const std::string& entry : entries_) kept += ToLine(entry);
  try {
    ReplaceUserFile(path_, kept, 0600);
  } catch (const Error&) {
    // A file that cannot be written stays as it is.
  }
}

void History::Add(std::string_view message) {
  if (message.empty() || (!entries_.empty() && entries_.back() == message)) return;
  entries_.emplace_back(message);
  if (path_.empty() || message.size() > kMaxHistoryEntryBytes) return;
  AppendLine(path_, ToLine(message));
}

}  // namespace sinter::cli

// The messages typed in earlier chats, kept on disk.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::cli {

// Entries that are kept, the newest ones; and bytes of one that goes to disk: longer ones, as
// pasted files are, stay in memory only.
inline constexpr size_t kMaxHistoryEntries = 1000;
inline constexpr size_t kMaxHistoryEntryBytes = size_t{16} << 10;

// Returns where the history belongs: sinter/history in XDG_STATE_HOME, or in ~/.local/state; an
// empty path if neither it nor HOME is set.
std::filesystem::path HistoryPath();

// A list of messages and its file, which only its user can read. Several programs may add to the
// file at the same time. Nothing here throws for the file's sake: without one that can be read or
// written, the list is in memory only.
class History {
 public:
  // Reads the file, and shortens it where it has grown. An empty path stands for no file.
  explicit History(std::filesystem::path path);

  // Adds a message unless it is empty or repeats the last one, to the file, too.
  void Add(std::string_view message);
  // Messages, the oldest first.
  const std::vector<std::string>& entries() const { return entries_; }

 private:
  std::filesystem::path path_;
  std::vector<std::string> entries_;
};

}  // namespace sinter::cli

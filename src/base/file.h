// Opens files that are not trusted: only regular ones, never blocking, and small ones only up to a
// limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/excerpt.h"

namespace sinter {

// Upper bound on the size of configurations, templates and similar files. Real ones have kilobytes.
inline constexpr uint64_t kMaxSmallFileBytes = uint64_t{64} << 20;

// Descriptor of an open file, closed by the destructor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();

  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// Result of OpenRegularFile().
struct OpenedFile {
  FileDescriptor descriptor;
  uint64_t bytes = 0;
  // Reason why there is no descriptor, as the X of "got X": "no such file", "a directory", "a
  // special file", or the system's message. Empty on success.
  std::string problem;
};

// Opens a regular file for reading and follows symbolic links. Does not wait for the writer of a
// FIFO and does not touch devices.
OpenedFile OpenRegularFile(const std::filesystem::path& path);

// Returns whether the folder has an entry of this name. A link that leads nowhere is one, so that
// reading it is an error instead of taking an optional file for absent.
bool IsPresent(const std::filesystem::path& path);

// Returns the contents of a regular file. Throws Error(area) "PATH: got X, want Y", where `want`
// says which file belongs there, if there is no such file, if it is not a regular one, if it cannot
// be read, or if it has more than `max_bytes`.
std::string ReadSmallFile(const std::filesystem::path& path, std::string_view area,
                          std::string_view want, uint64_t max_bytes = kMaxSmallFileBytes);

// Returns whether a name that stands in a file of a folder is relative to that folder and stays in
// it: not empty, not absolute, without "..", and without control characters such as NUL. Symbolic
// links may point out of the folder, because download caches store their files that way.
bool StaysInFolder(std::string_view name);

// Writes a file of a cache: under a temporary name of this process first, then renamed, so that
// nobody sees a part of it. Makes the folder if needed. Returns whether it succeeded; a failure
// leaves nothing behind.
bool ReplaceFile(const std::filesystem::path& path, std::string_view text);

}  // namespace sinter

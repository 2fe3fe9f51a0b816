#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>

#include "base/error.h"

namespace sinter {
namespace {

std::string Problem(int code) {
  return code == ENOENT ? "no such file"
                        : fmt::format("'{}'", std::generic_category().message(code));
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

OpenedFile OpenRegularFile(const std::filesystem::path& path) {
  OpenedFile file;
  if (path.native().find('\0') != std::string::npos) {
    file.problem = "a NUL character in the name";
    return file;
  }
  // Opening some devices has effects of its own, so the type is looked at first. O_NONBLOCK keeps
  // open() from waiting if the path has become a FIFO since; it has no effect on regular files.
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    file.problem = Problem(errno);
    return file;
  }
  if (S_ISREG(info.st_mode)) {
    file.descriptor = FileDescriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file.descriptor.get() < 0 || fstat(file.descriptor.get(), &info) != 0) {
      file.problem = Problem(errno);
      return file;
    }
  }
  if (!S_ISREG(info.st_mode)) {
    file.descriptor = {};
    file.problem = S_ISDIR(info.st_mode) ? "a directory" : "a special file";
    return file;
  }
  file.bytes = static_cast<uint64_t>(info.st_size);
  return file;
}

bool IsPresent(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
}

std::string ReadSmallFile(const std::filesystem::path& path, std::string_view area,
                          std::string_view want, uint64_t max_bytes) {
  const OpenedFile file = OpenRegularFile(path);
  if (!file.problem.empty()) {
    throw Error(area, "{}: got {}, want {}", Excerpt(path.native(), 4096), file.problem, want);
  }
  if (file.bytes > max_bytes) {
    throw Error(area, "{}: got {} bytes, want at most {}", path.string(), file.bytes, max_bytes);
  }
  // The file may grow, and those of /proc have size 0, so it is read to its end.
  std::string text;
  for (;;) {
    const size_t size = text.size();
    text.resize(std::max<size_t>(size + 4096, file.bytes + 1));
    const ssize_t bytes = read(file.descriptor.get(), text.data() + size, text.size() - size);
    const int code = errno;
    text.resize(size + static_cast<size_t>(std::max<ssize_t>(bytes, 0)));
    if (bytes < 0 && code == EINTR) continue;
    if (bytes < 0) {
      throw Error(area, "{}: got {}, want {}", path.string(), Problem(code), want);
    }
    if (text.size() > max_bytes) {
      throw Error(area, "{}: got more than {} bytes, want at most that", path.string(), max_bytes);
    }
    if (bytes == 0) return text;
  }
}

bool StaysInFolder(std::string_view name) {
  const std::filesystem::path path(name);
  return path.has_filename() && path.is_relative() &&
         std::none_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; }) &&
         std::none_of(name.begin(), name.end(),
                      [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

bool ReplaceFile(const std::filesystem::path& path, std::string_view text) {
  static std::atomic<uint64_t> count = 0;
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  const std::filesystem::path aside = path.string() + fmt::format(".{}.{}", getpid(), ++count);
  {
    const FileDescriptor file(
        open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (file.get() < 0) return false;
    if (!WriteAll(file.get(), text)) error = std::make_error_code(std::errc::io_error);
  }
  if (!error) std::filesystem::rename(aside, path, error);
  if (!error) return true;
  std::error_code ignored;
  std::filesystem::remove(aside, ignored);
  return false;
}

}  // namespace sinter

#include "cli/user_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>

#include "base/error.h"
#include "base/file.h"

namespace sinter::cli {
namespace {

[[noreturn]] void FailToWrite(const std::filesystem::path& path, std::string_view got) {
  throw Error("cli", "'{}': got '{}', want a file that can be written", Excerpt(path.string()),
              got);
}

bool WriteWhole(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return fdatasync(fd) == 0;
}

}  // namespace

void ReplaceUserFile(const std::filesystem::path& path, std::string_view text, int mode) {
  std::error_code error;
  // A link to a file that is not there yet has no canonical path, and is replaced itself.
  std::filesystem::path target = std::filesystem::canonical(path, error);
  if (error) target = path;
  struct stat status = {};
  const bool present = stat(target.c_str(), &status) == 0;
  if (present && S_ISDIR(status.st_mode)) FailToWrite(path, "a directory");
  if (present && !S_ISREG(status.st_mode)) FailToWrite(path, "a special file");
  const std::filesystem::path aside = target.string() + fmt::format(".{}.new", getpid());
  const FileDescriptor file(
      open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (file.get() < 0) FailToWrite(path, std::strerror(errno));
  const bool written = (!present || fchmod(file.get(), status.st_mode & 07777) == 0) &&
                       WriteWhole(file.get(), text) && rename(aside.c_str(), target.c_str()) == 0;
  if (written) return;
  const int problem = errno;
  unlink(aside.c_str());
  FailToWrite(path, std::strerror(problem));
}

std::filesystem::path UserPath(std::string_view text) {
  const char* home = std::getenv("HOME");
  if (home == nullptr || !text.starts_with("~/")) return text;
  return std::filesystem::path(home) / text.substr(2);
}

}  // namespace sinter::cli

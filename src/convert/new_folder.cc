#include "convert/new_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "base/error.h"

namespace sinter::convert {
namespace {

namespace fs = std::filesystem;

// Opens a folder, but no link to one. Returns no descriptor on failure.
FileDescriptor OpenFolder(const fs::path& folder) {
  return FileDescriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// Returns whether `folder` is still the name of the open folder.
bool IsNameOf(const fs::path& folder, const FileDescriptor& open) {
  struct stat by_name, by_descriptor;
  return lstat(folder.c_str(), &by_name) == 0 && fstat(open.get(), &by_descriptor) == 0 &&
         by_name.st_ino == by_descriptor.st_ino && by_name.st_dev == by_descriptor.st_dev;
}

// Removes the unfinished folders of `path` that no process holds. Throws Error("convert") if a
// process holds one: of two conversions to one name, only the first can succeed.
void RemoveAbandoned(const fs::path& path) {
  const std::string prefix = path.filename().string() + ".part";
  const fs::path parent = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || name.size() == prefix.size() ||
        name.find_first_not_of("0123456789", prefix.size()) != std::string::npos) {
      continue;
    }
    const FileDescriptor folder = OpenFolder(entry.path());
    if (folder.get() < 0) continue;
    if (flock(folder.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) continue;
      throw Error("convert",
                  "'{}': got a folder that another conversion is writing, want a new name",
                  path.string());
    }
    std::error_code ignored;
    if (fs::exists(entry.path() / kUnfinishedMark, ignored)) {
      fs::remove_all(entry.path(), ignored);
    } else {
      fs::remove(entry.path(), ignored);  // succeeds on an empty folder only
    }
  }
}

}  // namespace

NewFolder::NewFolder(fs::path path) : path_(std::move(path)) {
  if (!path_.has_filename()) path_ = path_.parent_path();
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path_, error);
  if (fs::exists(status) && !(fs::is_directory(status) && fs::is_empty(path_, error))) {
    throw Error("convert", "'{}': got an existing file or folder, want a new name", path_.string());
  }
  partial_ = fmt::format("{}.part{}", path_.string(), getpid());
  RemoveAbandoned(path_);
  Make();
  try {
    Write(kUnfinishedMark, "");
  } catch (const Error&) {
    fs::remove_all(partial_, error);
    throw;
  }
}

void NewFolder::Make() {
  // Another process may take the new folder for an abandoned one before it is locked.
  for (int attempt = 0; attempt < 10; ++attempt) {
    std::error_code error;
    if (path_.has_parent_path()) fs::create_directories(path_.parent_path(), error);
    if (error || !fs::create_directory(partial_, error)) {
      throw Error("convert", "cannot create the folder '{}': {}", path_.string(),
                  error ? error.message() : partial_.string() + " is in the way");
    }
    lock_ = OpenFolder(partial_);
    if (lock_.get() < 0) continue;
    // Some file systems have no locks. What a killed process leaves there stays.
    while (flock(lock_.get(), LOCK_EX) != 0 && errno == EINTR) {
    }
    if (IsNameOf(partial_, lock_)) return;
  }
  throw Error("convert", "cannot create the folder '{}': something keeps removing it",
              path_.string());
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!done_) fs::remove_all(partial_, ignored);
}

void NewFolder::Write(const std::string& name, std::string_view text) {
  errno = EIO;  // Reported for failures that do not set errno.
  std::ofstream stream(partial_ / name, std::ios::binary);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  stream.close();
  if (!stream) {
    throw Error("convert", "cannot write '{}': {}", (path_ / name).string(), std::strerror(errno));
  }
}

void NewFolder::Copy(const fs::path& file) {
  Write(file.filename().string(), ReadSmallFile(file, "convert", "a file to copy", kMaxCopyBytes));
}

uint64_t NewFolder::Finish() {
  std::error_code error;
  fs::remove(partial_ / kUnfinishedMark, error);
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(partial_)) bytes += entry.file_size();
  fs::rename(partial_, path_, error);
  if (error) {
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(path_, ignored)))
      throw Error("convert",
                  "'{}': got a folder that something else has made since, want a new name",
                  path_.string());
    throw Error("convert", "cannot create the folder '{}': {}", path_.string(), error.message());
  }
  done_ = true;
  return bytes;
}

}  // namespace sinter::convert

// Output folder of a conversion: complete under its name, or not there at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/file.h"

namespace sinter::convert {

// Name of an empty file that every unfinished folder holds. It keeps a user's own folder whose name
// looks alike from being removed.
inline constexpr char kUnfinishedMark[] = ".sinter-unfinished";

// A folder that is written as `PATH.partPID`, beside its final name. Finish() renames it; without
// Finish() the destructor removes it. The process holds a lock (flock) on it, so that the next
// NewFolder of the same path can tell what a killed process left behind from a folder that is
// being written.
class NewFolder {
 public:
  // Removes what killed processes left behind, and makes the folder and missing parents. Throws
  // Error("convert") if `path` is there and not an empty folder, if another process is writing it,
  // or if the folder cannot be made.
  explicit NewFolder(std::filesystem::path path);
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  ~NewFolder();

  // Returns the path under which the folder is being written.
  const std::filesystem::path& path() const { return partial_; }

  // Write a file. Throw Error("convert") if it cannot be written. Copy() takes regular files that
  // are not larger than kMaxCopyBytes.
  void Write(const std::string& name, std::string_view text);
  void Copy(const std::filesystem::path& file);
  static constexpr uint64_t kMaxCopyBytes = uint64_t{256} << 20;

  // Renames the folder to its final name and returns the bytes of all its files. Throws
  // Error("convert") if something has taken the name in the meantime.
  uint64_t Finish();

 private:
  void Make();

  std::filesystem::path path_, partial_;
  FileDescriptor lock_;
  bool done_ = false;
};

}  // namespace sinter::convert

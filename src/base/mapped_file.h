// A whole file, mapped read-only into memory: weights are paged in when they are read and cost no
// heap.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace sinter {

// Holds the mapping and releases it in the destructor. Shared, so that tensors can keep their file
// mapped. The file must not shrink while it is mapped: reading past its new end raises SIGBUS.
// Replace a file by renaming another over it.
class MappedFile {
 public:
  // Maps the file at `path`; symbolic links are followed. An empty file gives no bytes. Throws
  // Error("file") where it cannot be opened, is not a regular file, or the system refuses the
  // mapping.
  static std::shared_ptr<const MappedFile> Open(const std::filesystem::path& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace sinter

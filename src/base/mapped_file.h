// Read-only memory mapping of a whole file. Weights are paged in when they are read and take no
// heap memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace sinter {

// Owner of one mapping, which the destructor releases. Instances are shared, so that tensors can
// keep their file mapped. The file must not shrink while it is mapped: reading past its new end
// raises SIGBUS. To replace a file, rename another one over it.
class MappedFile {
 public:
  // Maps the file at `path` and follows symbolic links. An empty file gives an empty span. Throws
  // Error("file") if the file cannot be opened or is not a regular file, or if the system refuses
  // the mapping.
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

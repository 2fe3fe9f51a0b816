// Read-only memory mapping of a whole file. Weights are paged in when they are read and take no
// heap memory. What is no file can be read into memory in its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

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
  // Takes memory for `bytes` bytes, which `read(offset, out)` fills piece by piece. Throws
  // Error("file") with `name` if there is too little, and what `read` throws.
  static std::shared_ptr<const MappedFile> Read(
      std::string_view name, uint64_t bytes,
      const std::function<void(uint64_t offset, std::span<std::byte> out)>& read);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace sinter

#include "base/mapped_file.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/system_memory.h"

namespace sinter {

std::shared_ptr<const MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const OpenedFile file = OpenRegularFile(path);
  if (!file.problem.empty()) {
    throw Error("file", "cannot open '{}': got {}, want a regular file", path.string(),
                file.problem);
  }
  std::span<const std::byte> bytes;
  if (file.bytes > 0) {  // mmap refuses length 0.
    // In a browser size_t has 32 bits, so a file can be too large to map. ENOMEM is the error
    // reported for that case; mmap sets its own.
    errno = ENOMEM;
    void* data = file.bytes > SIZE_MAX
                     ? MAP_FAILED
                     : mmap(nullptr, file.bytes, PROT_READ, MAP_PRIVATE, file.descriptor.get(), 0);
    if (data == MAP_FAILED) {
      const int code = errno;
      throw Error("file", "cannot map '{}' of {} bytes into memory: {}", path.string(), file.bytes,
                  std::generic_category().message(code));
    }
    bytes = {static_cast<const std::byte*>(data), static_cast<size_t>(file.bytes)};
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(bytes));
}

std::shared_ptr<const MappedFile> MappedFile::Read(
    std::string_view name, uint64_t bytes,
    const std::function<void(uint64_t offset, std::span<std::byte> out)>& read) {
  constexpr uint64_t kPieceBytes = uint64_t{4} << 20;
  std::span<std::byte> memory;
  if (const std::optional<uint64_t> left = SystemMemoryLeft(); left && bytes > *left) {
    throw Error("file", "memory for '{}': got {} bytes that are free, want {}", name, *left, bytes);
  }
  if (bytes > 0) {
    errno = ENOMEM;
    void* data = bytes > SIZE_MAX ? MAP_FAILED
                                  : mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      const int code = errno;
      throw Error("file", "memory for '{}' of {} bytes: {}", name, bytes,
                  std::generic_category().message(code));
    }
    memory = {static_cast<std::byte*>(data), static_cast<size_t>(bytes)};
  }
  std::shared_ptr<const MappedFile> file(new MappedFile(memory));
  for (uint64_t done = 0; done < bytes; done += kPieceBytes)
    read(done, memory.subspan(done, std::min(kPieceBytes, bytes - done)));
  if (bytes > 0) mprotect(memory.data(), memory.size(), PROT_READ);
  return file;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace sinter

#include "base/mapped_file.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "base/error.h"
#include "base/file.h"

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

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace sinter

#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "base/error.h"

namespace sinter {
namespace {

// Closes the file descriptor at the end of the scope. The mapping outlives the descriptor.
struct Descriptor {
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  int fd;
};

std::string ErrorText(int code) { return std::generic_category().message(code); }

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  // O_NONBLOCK keeps open() from blocking if the path names a FIFO. It has no effect on regular
  // files.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat info;
  if (file.fd < 0 || fstat(file.fd, &info) != 0) {
    const int code = errno;
    throw Error("file", "cannot open '{}': {}", path.string(), ErrorText(code));
  }
  if (!S_ISREG(info.st_mode)) {
    throw Error("file", "cannot read '{}': got a {}, want a regular file", path.string(),
                S_ISDIR(info.st_mode) ? "directory" : "special file");
  }
  std::span<const std::byte> bytes;
  if (info.st_size > 0) {  // mmap refuses length 0.
    const auto size = static_cast<uint64_t>(info.st_size);
    // In a browser size_t has 32 bits, so a file can be too large to map. ENOMEM is the error
    // reported for that case; mmap sets its own.
    errno = ENOMEM;
    void* data =
        size > SIZE_MAX ? MAP_FAILED : mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (data == MAP_FAILED) {
      const int code = errno;
      throw Error("file", "cannot map '{}' of {} bytes into memory: {}", path.string(), size,
                  ErrorText(code));
    }
    bytes = {static_cast<const std::byte*>(data), static_cast<size_t>(size)};
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(bytes));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace sinter

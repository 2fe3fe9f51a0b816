#include "api/callback_files.h"

#include <utility>

#include "api/call.h"

namespace sinter::api {

CallbackFiles::CallbackFiles(const sinter_files& files, std::string folder)
    : files_(ReadOptions(&files, sinter_files{sizeof(sinter_files), nullptr, nullptr, nullptr},
                         "files")),
      folder_(std::move(folder)) {
  Required(files_.get_bytes, "files.get_bytes");
  Required(files_.read, "files.read");
}

std::string CallbackFiles::PathOf(const std::string& name) const {
  return folder_.empty() ? name : folder_ + "/" + name;
}

std::optional<uint64_t> CallbackFiles::Bytes(const std::string& name) const {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  const int status = files_.get_bytes(files_.user, name.c_str(), &bytes);
  if (status == 1) return std::nullopt;
  if (status != 0)
    throw Error("file", "{}: got {} from get_bytes, want 0 or 1", PathOf(name), status);
  return bytes;
}

void CallbackFiles::Read(const std::string& name, uint64_t offset, std::span<std::byte> out) const {
  std::lock_guard lock(mutex_);
  const int status = files_.read(files_.user, name.c_str(), offset, out.size(), out.data());
  if (status != 0) {
    throw Error("file", "{}: got {} from read of {} bytes from {} on, want 0", PathOf(name), status,
                out.size(), offset);
  }
}

std::shared_ptr<const MappedFile> CallbackFiles::Map(const std::string& name) const {
  const std::optional<uint64_t> bytes = Bytes(name);
  if (!bytes)
    throw Error("file", "cannot open '{}': got no such file, want a regular file", PathOf(name));
  return MappedFile::Read(PathOf(name), *bytes, [&](uint64_t offset, std::span<std::byte> out) {
    Read(name, offset, out);
  });
}

std::string CallbackFiles::ReadSmall(const std::string& name, std::string_view area,
                                     std::string_view want, uint64_t max_bytes) const {
  const std::optional<uint64_t> bytes = Bytes(name);
  if (!bytes) throw Error(area, "{}: got no such file, want {}", PathOf(name), want);
  if (*bytes > max_bytes) {
    throw Error(area, "{}: got {} bytes, want {} of at most {}", PathOf(name), *bytes, want,
                max_bytes);
  }
  std::string text(*bytes, '\0');
  if (!text.empty()) Read(name, 0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace sinter::api

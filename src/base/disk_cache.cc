#include "base/disk_cache.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>

#include "base/file.h"

namespace sinter {
namespace {

constexpr uint64_t kBasis = 0xcbf29ce484222325u;
// Upper bound on the size of a file. Compiled pipelines have up to a few megabytes.
constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

// Returns the FNV-1a hash of the bytes, or its continuation from `hash`.
uint64_t Hash(std::span<const std::byte> bytes, uint64_t hash) {
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3u;
  return hash;
}

// The last character of `magic` is the version of the format.
struct Header {
  char magic[8] = {'s', 'i', 'n', 't', 'e', 'r', 'p', '2'};
  uint64_t key_bytes = 0, value_bytes = 0;
  uint64_t hash = 0;  // of key and value
};

// Value that Load() has just told the size of.
struct Answered {
  std::filesystem::path path;
  std::string file;
  size_t offset = 0;
};
thread_local Answered answered;

std::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string CacheFile(std::span<const std::byte> key, std::span<const std::byte> value) {
  const Header header = {
      .key_bytes = key.size(), .value_bytes = value.size(), .hash = Hash(value, Hash(key, kBasis))};
  std::string file(reinterpret_cast<const char*>(&header), sizeof(header));
  return file.append(Text(key)).append(Text(value));
}

std::optional<std::span<const std::byte>> ValueOf(std::span<const std::byte> file,
                                                  std::span<const std::byte> key) {
  Header header;
  const Header want;
  if (file.size() < sizeof(header)) return std::nullopt;
  std::memcpy(&header, file.data(), sizeof(header));
  const std::span<const std::byte> rest = file.subspan(sizeof(header));
  if (std::memcmp(header.magic, want.magic, sizeof(want.magic)) != 0 ||
      header.key_bytes != key.size() || rest.size() < key.size() ||
      header.value_bytes != rest.size() - key.size() || header.hash != Hash(rest, kBasis) ||
      Text(rest.first(key.size())) != Text(key)) {
    return std::nullopt;
  }
  return rest.subspan(key.size());
}

std::filesystem::path DiskCache::PathOf(std::span<const std::byte> key) const {
  return dir_ / fmt::format("{:016x}{:016x}", Hash(key, kBasis), Hash(key, 0x84222325cbf29ce4u));
}

size_t DiskCache::Load(std::span<const std::byte> key, std::span<std::byte> value) const noexcept {
  try {
    const std::filesystem::path path = PathOf(key);
    Answered found = std::exchange(answered, {});
    if (value.empty() || found.path != path) {
      found = {path, ReadSmallFile(path, "cache", "a file of the cache", kMaxFileBytes)};
      const auto bytes = std::as_bytes(std::span(found.file));
      const auto stored = ValueOf(bytes, key);
      if (!stored) return 0;
      found.offset = bytes.size() - stored->size();
    }
    const size_t size = found.file.size() - found.offset;
    if (value.empty()) {
      answered = std::move(found);
      return size;
    }
    if (value.size() < size) return 0;
    std::memcpy(value.data(), found.file.data() + found.offset, size);
    return size;
  } catch (const std::exception&) {
    return 0;
  }
}

void DiskCache::Store(std::span<const std::byte> key,
                      std::span<const std::byte> value) const noexcept {
  try {
    ReplaceFile(PathOf(key), CacheFile(key, value));
  } catch (const std::exception&) {
    // There was too little memory. The value is made anew next time.
  }
}

}  // namespace sinter

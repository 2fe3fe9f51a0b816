// On-disk pipeline cache. A failed read is a miss and a failed write is ignored: a cache must never
// cause an error.

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "gpu/dawn.h"

namespace sinter::gpu {
namespace {

// Returns the FNV-1a hash. File names combine two offset bases into 128 bits.
uint64_t Hash(std::span<const std::byte> bytes, uint64_t basis) {
  uint64_t hash = basis;
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3u;
  return hash;
}

struct Header {
  char magic[8] = {'s', 'i', 'n', 't', 'e', 'r', 'p', '1'};
  uint64_t key_bytes = 0, value_bytes = 0, value_hash = 0;
};

}  // namespace

std::filesystem::path DefaultCacheDir() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    return std::filesystem::path(cache) / "sinter" / "pipelines";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return std::filesystem::path(home) / ".cache" / "sinter" / "pipelines";
  }
  return {};
}

std::filesystem::path DiskCache::PathOf(std::span<const std::byte> key) const {
  return dir_ / fmt::format("{:016x}{:016x}", Hash(key, 0xcbf29ce484222325u),
                            Hash(key, 0x84222325cbf29ce4u));
}

size_t DiskCache::Load(std::span<const std::byte> key, std::span<std::byte> value) const {
  std::ifstream file(PathOf(key), std::ios::binary);
  Header header;
  const Header want;
  if (!file.read(reinterpret_cast<char*>(&header), sizeof(header))) return 0;
  if (std::memcmp(header.magic, want.magic, sizeof(want.magic)) != 0 ||
      header.key_bytes != key.size())
    return 0;
  std::vector<std::byte> stored_key(key.size());
  if (!file.read(reinterpret_cast<char*>(stored_key.data()),
                 static_cast<std::streamsize>(stored_key.size())))
    return 0;
  if (std::memcmp(stored_key.data(), key.data(), key.size()) != 0) return 0;
  if (value.empty()) return header.value_bytes;
  if (value.size() < header.value_bytes) return 0;
  if (!file.read(reinterpret_cast<char*>(value.data()),
                 static_cast<std::streamsize>(header.value_bytes)))
    return 0;
  if (Hash(value.first(header.value_bytes), 0xcbf29ce484222325u) != header.value_hash) return 0;
  return header.value_bytes;
}

void DiskCache::Store(std::span<const std::byte> key, std::span<const std::byte> value) const {
  std::error_code error;
  std::filesystem::create_directories(dir_, error);
  const std::filesystem::path path = PathOf(key);
  // Writes a temporary file and renames it, so that other processes never see a partial file.
  const std::filesystem::path aside =
      path.string() + fmt::format(".{}.{}", getpid(), static_cast<const void*>(&key));
  Header header;
  header.key_bytes = key.size();
  header.value_bytes = value.size();
  header.value_hash = Hash(value, 0xcbf29ce484222325u);
  {
    std::ofstream file(aside, std::ios::binary);
    file.write(reinterpret_cast<const char*>(&header), sizeof(header));
    file.write(reinterpret_cast<const char*>(key.data()), static_cast<std::streamsize>(key.size()));
    file.write(reinterpret_cast<const char*>(value.data()),
               static_cast<std::streamsize>(value.size()));
    if (!file.flush()) {
      file.close();
      std::filesystem::remove(aside, error);
      return;
    }
  }
  std::filesystem::rename(aside, path, error);
  if (error) std::filesystem::remove(aside, error);
}

}  // namespace sinter::gpu

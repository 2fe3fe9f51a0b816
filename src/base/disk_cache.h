// Keeps byte strings by key in a folder of files. Nothing that lies there is trusted.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace sinter {

// A cache on disk. A file that cannot be read, or that is damaged in any way, counts as a miss. A
// value that cannot be written is not kept. No call throws. Several threads and processes may use
// one folder.
class DiskCache {
 public:
  // Makes the folder with the first value.
  explicit DiskCache(std::filesystem::path dir) : dir_(std::move(dir)) {}

  // Returns the size of the key's value, or 0 on a miss, if `value` is empty. Else copies the value
  // into `value` and returns its size, or 0 on a miss or if the value does not fit. A copy that
  // follows the question for the size on the same thread always succeeds, whatever has become of
  // the file: Dawn reserves the memory in between and expects that.
  size_t Load(std::span<const std::byte> key, std::span<std::byte> value) const noexcept;
  void Store(std::span<const std::byte> key, std::span<const std::byte> value) const noexcept;

 private:
  std::filesystem::path PathOf(std::span<const std::byte> key) const;

  std::filesystem::path dir_;
};

// Returns the contents of the file that keeps a value: a header with the lengths and a checksum,
// the key, the value.
std::string CacheFile(std::span<const std::byte> key, std::span<const std::byte> value);

// Returns the value in the contents of a file, or nullopt unless they are exactly a CacheFile() of
// this key.
std::optional<std::span<const std::byte>> ValueOf(std::span<const std::byte> file,
                                                  std::span<const std::byte> key);

}  // namespace sinter

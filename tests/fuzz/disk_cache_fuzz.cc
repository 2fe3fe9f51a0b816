// Fuzz target: any bytes as a file of the cache of pipelines, and any damage to one, must be a
// miss, unless its checksum is right. The first byte says which: 0, the rest is the file; else the
// rest says at which bytes a good file is damaged, and how.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/disk_cache.h"
#include "fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sinter;  // NOLINT: a program of one screen
  constexpr std::string_view kKey = "key of a pipeline", kValue = "a compiled pipeline";
  const auto key = std::as_bytes(std::span(kKey)), value = std::as_bytes(std::span(kValue));
  static const std::string good = CacheFile(key, value);
  if (size == 0) return 0;
  std::string file = good;
  if (data[0] == 0) {
    file.assign(reinterpret_cast<const char*>(data + 1), size - 1);
  } else {
    for (size_t i = 1; i + 1 < size; i += 2) {
      const size_t at = data[i] % (file.size() + 1);
      if (at == file.size()) {
        file.resize(data[i + 1] % file.size() + 1);
      } else {
        file[at] = static_cast<char>(file[at] ^ data[i + 1]);
      }
    }
  }
  const auto found = ValueOf(std::as_bytes(std::span(file)), key);
  // libFuzzer can learn the checksum of other values. Such a file is a good one, too.
  if (found) Require(CacheFile(key, *found) == file, "damage was not seen");
  if (file == good) Require(found.has_value(), "a good file missed");
  return 0;
}

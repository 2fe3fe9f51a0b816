// The only way to read JSON: text that is not trusted, with limits on its size, its depth and its
// number of values, and without duplicate keys.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"

namespace sinter {

struct JsonLimits {
  // Upper bound on the depth of arrays and objects. The files that Sinter reads nest up to ten
  // deep, schemas of tools up to thirty. nlohmann's functions that recurse (dump, ==) are safe
  // below it.
  size_t depth = 128;
  // Upper bound on the number of values and keys. Each takes up to 100 bytes of memory. The largest
  // tokenizer.json files have 2,500,000.
  size_t values = size_t{1} << 23;
};

// Parse JSON text. Throw Error(area) "WHAT: line L, column C: got X, want Y" if the text is not
// JSON, if it exceeds a limit, or if an object has a key twice. Columns count bytes. The second
// function keeps the order of keys.
nlohmann::json ParseJson(std::string_view text, std::string_view area, std::string_view what,
                         const JsonLimits& limits = {});
nlohmann::ordered_json ParseOrderedJson(std::string_view text, std::string_view area,
                                        std::string_view what, const JsonLimits& limits = {});

// Reads a file of JSON, a regular one of at most `max_bytes`. `want` says in errors which file
// belongs there. Throws the errors of ReadSmallFile() and ParseJson().
nlohmann::json ReadJsonFile(const std::filesystem::path& path, std::string_view area,
                            std::string_view want, uint64_t max_bytes = kMaxSmallFileBytes);

// Returns the number if the value is an integer within [low, high], else nullopt.
std::optional<int64_t> JsonInt(const nlohmann::json& value, int64_t low = INT64_MIN,
                               int64_t high = INT64_MAX);

// Returns the value's text for an error message, cut after about 100 bytes. Never walks the whole
// value.
std::string JsonExcerpt(const nlohmann::json& value);

}  // namespace sinter

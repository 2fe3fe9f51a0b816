// Reads fields of tokenizer.json with their types. A missing or mistyped field is an Error that
// names component and field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace sinter::text {

using Json = nlohmann::json;

// Upper bound on the depth to which components nest (Sequence in Sequence); real files reach 2.
inline constexpr int kMaxSequenceDepth = 16;

// Returns the field, or null if it is missing or null. Throws Error if `object` is not an object.
const Json* FindField(const Json& object, const std::string& key, std::string_view component);
// Returns the field. Throws Error if it is missing or null.
const Json& RequireField(const Json& object, const char* key, std::string_view component);

std::string RequireString(const Json& object, const char* key, std::string_view component);
const Json& RequireArray(const Json& object, const char* key, std::string_view component);
std::optional<std::string> OptionalString(const Json& object, const char* key,
                                          std::string_view component);
bool BoolOr(const Json& object, const char* key, std::string_view component, bool fallback);
// Returns an integer in [low, high]. Throws Error if the field is not an integer or out of range.
int64_t RequireInt(const Json& object, const char* key, std::string_view component, int64_t low,
                   int64_t high);
int64_t IntIn(const Json& value, std::string_view component, std::string_view what, int64_t low,
              int64_t high);
// Returns a string of exactly one character; throws Error otherwise.
std::string RequireCharacter(const Json& object, const char* key, std::string_view component);

// Returns the component's "type". Throws Error if it is missing or `depth` exceeds
// kMaxSequenceDepth.
std::string ComponentType(const Json& object, std::string_view component, int depth);

}  // namespace sinter::text

// Typed access to the fields of tokenizer.json: a missing or mistyped field is an Error that names
// component and field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace sinter::text {

using Json = nlohmann::json;

// The components nest (Sequence in Sequence) at most so deep; real files reach 2.
inline constexpr int kMaxSequenceDepth = 16;

// The field, or null where it is missing or null. Throws if `object` is no object.
const Json* FindField(const Json& object, const char* key, std::string_view component);
// The field; throws where FindField gives null.
const Json& RequireField(const Json& object, const char* key, std::string_view component);

std::string RequireString(const Json& object, const char* key, std::string_view component);
const Json& RequireArray(const Json& object, const char* key, std::string_view component);
std::optional<std::string> OptionalString(const Json& object, const char* key,
                                          std::string_view component);
bool BoolOr(const Json& object, const char* key, std::string_view component, bool fallback);
// An integer in [low, high].
int64_t RequireInt(const Json& object, const char* key, std::string_view component, int64_t low,
                   int64_t high);
int64_t IntIn(const Json& value, std::string_view component, std::string_view what, int64_t low,
              int64_t high);
// A string of exactly one character.
std::string RequireCharacter(const Json& object, const char* key, std::string_view component);

// The component's "type"; throws if it is missing or depth exceeds kMaxSequenceDepth.
std::string ComponentType(const Json& object, std::string_view component, int depth);

}  // namespace sinter::text

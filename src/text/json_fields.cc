#include "text/json_fields.h"

#include "base/error.h"
#include "base/file.h"
#include "text/utf8.h"

namespace sinter::text {

const Json* FindField(const Json& object, const std::string& key, std::string_view component) {
  if (!object.is_object()) {
    throw Error("tokenizer", "{}: got {}, want an object", component, object.type_name());
  }
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

const Json& RequireField(const Json& object, const char* key, std::string_view component) {
  const Json* field = FindField(object, key, component);
  if (field == nullptr) throw Error("tokenizer", "{}: field \"{}\" is missing", component, key);
  return *field;
}

namespace {

[[noreturn]] void WrongType(const Json& field, const char* key, std::string_view component,
                            std::string_view want) {
  throw Error("tokenizer", "{}: field \"{}\": got {}, want {}", component, key, field.type_name(),
              want);
}

}  // namespace

std::string RequireString(const Json& object, const char* key, std::string_view component) {
  const Json& field = RequireField(object, key, component);
  if (!field.is_string()) WrongType(field, key, component, "a string");
  return field.get<std::string>();
}

const Json& RequireArray(const Json& object, const char* key, std::string_view component) {
  const Json& field = RequireField(object, key, component);
  if (!field.is_array()) WrongType(field, key, component, "an array");
  return field;
}

std::optional<std::string> OptionalString(const Json& object, const char* key,
                                          std::string_view component) {
  const Json* field = FindField(object, key, component);
  if (field == nullptr) return std::nullopt;
  if (!field->is_string()) WrongType(*field, key, component, "a string");
  return field->get<std::string>();
}

bool BoolOr(const Json& object, const char* key, std::string_view component, bool fallback) {
  const Json* field = FindField(object, key, component);
  if (field == nullptr) return fallback;
  if (!field->is_boolean()) WrongType(*field, key, component, "true or false");
  return field->get<bool>();
}

int64_t IntIn(const Json& value, std::string_view component, std::string_view what, int64_t low,
              int64_t high) {
  // Unsigned numbers above int64's range would turn negative as int64, so they are first compared
  // as unsigned.
  const bool fits = value.is_number_unsigned()
                        ? high >= 0 && value.get<uint64_t>() <= static_cast<uint64_t>(high)
                        : value.is_number_integer() && value.get<int64_t>() <= high;
  if (!fits || value.get<int64_t>() < low) {
    std::string got = value.is_primitive() && !value.is_string() ? value.dump() : value.type_name();
    throw Error("tokenizer", "{}: {}: got {}, want an integer from {} to {}", component,
                Excerpt(what), got, low, high);
  }
  return value.get<int64_t>();
}

int64_t RequireInt(const Json& object, const char* key, std::string_view component, int64_t low,
                   int64_t high) {
  return IntIn(RequireField(object, key, component), component, key, low, high);
}

std::string RequireCharacter(const Json& object, const char* key, std::string_view component) {
  std::string value = RequireString(object, key, component);
  size_t pos = 0;
  if (!value.empty()) NextCodePoint(value, &pos);
  if (value.empty() || pos != value.size()) {
    throw Error("tokenizer", "{}: field \"{}\": got \"{}\", want one character", component, key,
                Excerpt(value, 40));
  }
  return value;
}

std::string ComponentType(const Json& object, std::string_view component, int depth) {
  if (depth > kMaxSequenceDepth) {
    throw Error("tokenizer", "{}: Sequences are nested more than {} deep", component,
                kMaxSequenceDepth);
  }
  return RequireString(object, "type", component);
}

}  // namespace sinter::text

#include "convert/json.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace sinter::convert {
namespace {

// Upper bound on the size of a file. The index of a checkpoint of a million tensors has 100 MB.
constexpr uint64_t kMaxIndexBytes = 100'000'000;

template <typename Is>
const nlohmann::json& Want(const nlohmann::json& object, std::string_view name,
                           const std::string& what, std::string_view kind, Is is) {
  const nlohmann::json* field = FindField(object, name);
  if (field == nullptr) throw Error("convert", "{}: {}: got none, want {}", what, name, kind);
  if (!is(*field)) {
    const std::string got = field->is_structured() ? KindText(*field) : JsonExcerpt(*field);
    throw Error("convert", "{}: {}: got {}, want {}", what, name, got, kind);
  }
  return *field;
}

bool IsInt(const nlohmann::json& json) { return JsonInt(json).has_value(); }
bool IsNumber(const nlohmann::json& json) { return json.is_number(); }
template <bool (*is)(const nlohmann::json&)>
bool IsListOf(const nlohmann::json& json) {
  return json.is_array() && std::all_of(json.begin(), json.end(), is);
}

}  // namespace

std::string KindText(const nlohmann::json& json) {
  if (json.is_null()) return "null";
  return fmt::format("{} {}", json.is_structured() ? "an" : "a", json.type_name());
}

nlohmann::json ParseJson(std::string_view text, const std::string& what) {
  return sinter::ParseJson(text, "convert", what);
}

nlohmann::json ReadJson(const std::filesystem::path& file) {
  return ReadJsonFile(file, "convert", "a JSON file", kMaxIndexBytes);
}

const nlohmann::json* FindField(const nlohmann::json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string GetString(const nlohmann::json& object, std::string_view name,
                      const std::string& what) {
  return Want(object, name, what, "a string", [](const auto& json) { return json.is_string(); })
      .template get<std::string>();
}
std::vector<int64_t> GetInts(const nlohmann::json& object, std::string_view name,
                             const std::string& what) {
  return Want(object, name, what, "a list of integers", IsListOf<IsInt>)
      .get<std::vector<int64_t>>();
}
int64_t GetInt(const nlohmann::json& object, std::string_view name, const std::string& what) {
  return Want(object, name, what, "an integer", IsInt).get<int64_t>();
}
double GetDouble(const nlohmann::json& object, std::string_view name, const std::string& what) {
  return Want(object, name, what, "a number", IsNumber).get<double>();
}
std::vector<double> GetDoubles(const nlohmann::json& object, std::string_view name,
                               const std::string& what) {
  return Want(object, name, what, "a list of numbers", IsListOf<IsNumber>)
      .get<std::vector<double>>();
}

int64_t GetInt(const nlohmann::json& object, std::string_view name, const std::string& what,
               int64_t fallback) {
  return FindField(object, name) == nullptr ? fallback : GetInt(object, name, what);
}
double GetDouble(const nlohmann::json& object, std::string_view name, const std::string& what,
                 double fallback) {
  return FindField(object, name) == nullptr ? fallback : GetDouble(object, name, what);
}
bool GetBool(const nlohmann::json& object, std::string_view name, const std::string& what,
             bool fallback) {
  if (FindField(object, name) == nullptr) return fallback;
  return Want(object, name, what, "true or false",
              [](const auto& json) { return json.is_boolean(); })
      .template get<bool>();
}
std::string GetString(const nlohmann::json& object, std::string_view name, const std::string& what,
                      std::string_view fallback) {
  return FindField(object, name) == nullptr ? std::string(fallback) : GetString(object, name, what);
}

}  // namespace sinter::convert

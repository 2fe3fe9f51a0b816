#include "convert/json.h"

#include <algorithm>
#include <fstream>

#include "base/error.h"

namespace sinter::convert {
namespace {

template <typename Is>
const nlohmann::json& Want(const nlohmann::json& object, std::string_view name,
                           const std::string& what, std::string_view kind, Is is) {
  const nlohmann::json* field = FindField(object, name);
  if (field == nullptr) throw Error("convert", "{}: {}: got none, want {}", what, name, kind);
  if (!is(*field)) {
    throw Error("convert", "{}: {}: got a {}, want {}", what, name, field->type_name(), kind);
  }
  return *field;
}

bool IsInt(const nlohmann::json& json) { return json.is_number_integer(); }
bool IsNumber(const nlohmann::json& json) { return json.is_number(); }
template <bool (*is)(const nlohmann::json&)>
bool IsListOf(const nlohmann::json& json) {
  return json.is_array() && std::all_of(json.begin(), json.end(), is);
}

}  // namespace

nlohmann::json ParseJson(std::string_view text, const std::string& what) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw Error("convert", "{}: got no valid JSON: {}", what, error.what());
  }
}

nlohmann::json ReadJson(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream || std::filesystem::is_directory(file)) {
    throw Error("convert", "{}: got no such file, want it", file.string());
  }
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  return ParseJson(text, file.string());
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

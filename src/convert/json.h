// Reads JSON files of a checkpoint and their fields by name. Errors name the file and the field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace sinter::convert {

// Parse JSON text or a file. Every function here that fails throws Error("convert") whose text
// begins with `what`, the file and the object inside it.
nlohmann::json ParseJson(std::string_view text, const std::string& what);
// Returns the kind of a value with its article: "an array", "a number".
std::string KindText(const nlohmann::json& json);
nlohmann::json ReadJson(const std::filesystem::path& file);

// Returns the field, or a null pointer if it is absent or JSON's null.
const nlohmann::json* FindField(const nlohmann::json& object, std::string_view name);

// Return a field that must be present and of the type. Throw Error("convert") otherwise.
std::string GetString(const nlohmann::json& object, std::string_view name, const std::string& what);
std::vector<int64_t> GetInts(const nlohmann::json& object, std::string_view name,
                             const std::string& what);
int64_t GetInt(const nlohmann::json& object, std::string_view name, const std::string& what);
double GetDouble(const nlohmann::json& object, std::string_view name, const std::string& what);
std::vector<double> GetDoubles(const nlohmann::json& object, std::string_view name,
                               const std::string& what);

// Return a field of the type, or `fallback` if it is absent or null.
int64_t GetInt(const nlohmann::json& object, std::string_view name, const std::string& what,
               int64_t fallback);
double GetDouble(const nlohmann::json& object, std::string_view name, const std::string& what,
                 double fallback);
bool GetBool(const nlohmann::json& object, std::string_view name, const std::string& what,
             bool fallback);
std::string GetString(const nlohmann::json& object, std::string_view name, const std::string& what,
                      std::string_view fallback);

}  // namespace sinter::convert

// JSON files of a checkpoint: fields by name, with errors that say which.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::convert {

// Each throws Error("convert") that begins with `what`: the file, and the object inside it.
nlohmann::json ParseJson(std::string_view text, const std::string& what);
nlohmann::json ReadJson(const std::filesystem::path& file);

// The field; null where it is absent or JSON's null.
const nlohmann::json* FindField(const nlohmann::json& object, std::string_view name);

// A field that must be there and of the kind.
std::string GetString(const nlohmann::json& object, std::string_view name, const std::string& what);
std::vector<int64_t> GetInts(const nlohmann::json& object, std::string_view name,
                             const std::string& what);
int64_t GetInt(const nlohmann::json& object, std::string_view name, const std::string& what);
double GetDouble(const nlohmann::json& object, std::string_view name, const std::string& what);
std::vector<double> GetDoubles(const nlohmann::json& object, std::string_view name,
                               const std::string& what);

// The same, with what holds where the field is absent or null.
int64_t GetInt(const nlohmann::json& object, std::string_view name, const std::string& what,
               int64_t fallback);
double GetDouble(const nlohmann::json& object, std::string_view name, const std::string& what,
                 double fallback);
bool GetBool(const nlohmann::json& object, std::string_view name, const std::string& what,
             bool fallback);
std::string GetString(const nlohmann::json& object, std::string_view name, const std::string& what,
                      std::string_view fallback);

}  // namespace sinter::convert

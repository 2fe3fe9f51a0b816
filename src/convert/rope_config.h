// Reads the rotary embedding's parameters from config.json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::convert {

struct HfConfig;

// Scaling of the rotary angles beyond the length that the model was first trained for. It is the
// field rope_scaling, or rope_parameters in newer files. Comments name the types that use a member.
struct RopeConfig {
  enum class Type { kDefault, kLinear, kLlama3, kLongRope, kYarn };
  Type type = Type::kDefault;
  double theta = 10000;
  int64_t rotary_dim = 0;  // elements of a head that are rotated
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  // kLlama3
  double beta_fast = 32, beta_slow = 1;              // kYarn
  bool truncate = true;                              // kYarn
  std::vector<double> short_factor, long_factor;     // kLongRope
  std::optional<double> attention_factor;            // kLongRope, kYarn
  int64_t original_max_positions = 0;                // kLlama3, kLongRope, kYarn

  bool operator==(const RopeConfig&) const = default;
};

// The values of what an object leaves out, and the top-level field that may give the base.
struct RopeFallback {
  std::string_view theta_field = "rope_theta";
  double theta = 10000;
  double partial_rotary_factor = 1;
};

// Parses one object of parameters, which errors call `name`. Throws Error("convert"), which names
// the file and the field, for fields that are missing or not valid, that the type does not use, or
// that contradict a top-level field of config.json, and for unknown types.
RopeConfig ParseRope(const nlohmann::json& parameters, std::string_view name,
                     const HfConfig& config, const RopeFallback& fallback);

// Returns the parameters that config.json gives, those of the full-attention layers if each type of
// layer has its own. `theta` is the architecture's base if the file has none. Throws as ParseRope,
// and if rope_parameters and rope_scaling are both there and differ in effect.
RopeConfig ReadRope(const HfConfig& config, double theta);

// Returns the parameters of the layers with a sliding window of an architecture that gives those
// their own: rope_parameters.sliding_attention, or else the base that `theta_field` holds.
RopeConfig ReadSlidingRope(const HfConfig& config, std::string_view theta_field, double theta);

}  // namespace sinter::convert

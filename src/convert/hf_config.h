// Reads config.json of a Hugging Face checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace sinter::convert {

// Scaling of the rotary angles beyond the length that the model was first trained for. It is the
// field rope_scaling, or rope_parameters in newer files. Comments name the types that use a member.
struct RopeConfig {
  enum class Type { kDefault, kLinear, kLlama3, kLongRope, kYarn };
  Type type = Type::kDefault;
  double theta = 10000;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  // kLlama3
  double beta_fast = 32, beta_slow = 1;              // kYarn
  bool truncate = true;                              // kYarn
  std::vector<double> short_factor, long_factor;     // kLongRope
  std::optional<double> attention_factor;            // kLongRope, kYarn
  int64_t original_max_positions = 0;                // kLlama3, kLongRope, kYarn
};

// The fields that several architectures share. An architecture's own file reads from `json` the
// fields that it alone has.
struct HfConfig {
  nlohmann::json json;
  std::string file;  // for errors

  std::string model_type;    // "qwen3"
  std::string architecture;  // "Qwen3ForCausalLM"
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_size = 0;
  int64_t intermediate = 0, vocab = 0, context = 0;
  int64_t rotary_dim = 0;  // elements of a head that the rotary embedding rotates
  double norm_epsilon = 1e-6;
  bool tied_embeddings = false;
  RopeConfig rope;
  std::optional<int64_t> sliding_window;
  // layer_types: true for each layer that attends to its sliding window only. Empty without it.
  std::vector<bool> sliding_layers;

  // Return one field of `json`, or `fallback` if it is absent. Throw Error("convert") if the field
  // has another type, or is absent and there is no fallback.
  bool Flag(std::string_view name, bool fallback) const;
  int64_t Int(std::string_view name, std::optional<int64_t> fallback = {}) const;
  double Double(std::string_view name, double fallback) const;
  // Throws Error("convert") if the field is present with any value but `only`.
  void Want(std::string_view name, const nlohmann::json& only) const;
};

// Parses config.json, keeping only the first `layers` layers if given. `file` is named in errors.
// Throws Error("convert"), which names the file and the field, for missing or invalid fields.
HfConfig ParseHfConfig(nlohmann::json json, const std::string& file,
                       std::optional<int64_t> layers = {});

// Parses the object rope_scaling or rope_parameters. `theta` is the base if the object has none.
// Throws Error("convert") for missing or invalid fields and unknown types.
RopeConfig ParseRope(const nlohmann::json& parameters, const HfConfig& config, double theta);

}  // namespace sinter::convert

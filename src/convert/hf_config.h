// config.json and generation_config.json of a Hugging Face checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace sinter::convert {

// How rotary angles are scaled past the length that the model was first trained for: the field
// rope_scaling, or rope_parameters of newer files.
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

// The fields that several architectures share. Those of one alone are read from `json` by its own
// file.
struct HfConfig {
  nlohmann::json json;
  std::string file;  // for errors

  std::string model_type;    // "qwen3"
  std::string architecture;  // "Qwen3ForCausalLM"
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_size = 0;
  int64_t intermediate = 0, vocab = 0, context = 0;
  int64_t rotary_dim = 0;  // of a head, the elements that turn
  double norm_epsilon = 1e-6;
  bool tied_embeddings = false;
  RopeConfig rope;
  std::optional<int64_t> sliding_window;
  // layer_types, where the file has it: whether each layer attends to its window only.
  std::vector<bool> sliding_layers;

  // One field of `json`.
  bool Flag(std::string_view name, bool fallback) const;
  int64_t Int(std::string_view name, std::optional<int64_t> fallback = {}) const;
  double Double(std::string_view name, double fallback) const;
  // Throws Error("convert") where the field is there and says anything else.
  void Want(std::string_view name, const nlohmann::json& only) const;
};

// Throws Error("convert") naming the file and the field. `layers` cuts the model to so many.
HfConfig ParseHfConfig(nlohmann::json json, const std::string& file,
                       std::optional<int64_t> layers = {});

// rope_scaling or rope_parameters, as it stands in `object`.
RopeConfig ParseRope(const nlohmann::json& parameters, const HfConfig& config, double theta);

}  // namespace sinter::convert

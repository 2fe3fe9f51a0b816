// Makes genai_config.json from a checkpoint's config.json and generation_config.json.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "convert/hf_config.h"

namespace sinter::convert {

struct GenaiOptions {
  std::string_view type;  // "qwen3"
  bool graph_capture = false;
  std::optional<int64_t> multi_rotary_offset;
};

// Returns the content of genai_config.json. `generation` is generation_config.json or an empty
// object. Throws Error("convert"), which names the field, if a token id or a sampling option is not
// valid, if it asks for another way to choose tokens (beams, say), or if eos_token_id is missing.
nlohmann::ordered_json GenaiConfig(const HfConfig& config, const nlohmann::json& generation,
                                   const std::string& generation_file, const GenaiOptions& options);

}  // namespace sinter::convert

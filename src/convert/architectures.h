// The supported architectures. Each has one function that assembles a decoder layer by layer.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "convert/decoder.h"

namespace sinter::convert {

void BuildQwen2(Decoder& m);
void BuildQwen3(Decoder& m);
void BuildQwen3Moe(Decoder& m);
void BuildLlama(Decoder& m);
void BuildMistral(Decoder& m);
void BuildPhi3(Decoder& m);
void BuildGemma3(Decoder& m);
void BuildSmolLm3(Decoder& m);
void BuildGptOss(Decoder& m);

// Values of the fields that config.json leaves out, from the configuration classes of Hugging Face
// transformers.
struct ModelDefaults {
  double rope_theta = 10000;
  double norm_epsilon = 1e-6;
  std::optional<int64_t> head_size = {};  // hidden_size / num_attention_heads by default
  std::optional<int64_t> sliding_window = {};
  bool tied_embeddings = false;
};

struct Architecture {
  std::string_view model_type;  // of config.json
  std::string_view genai_type;  // of genai_config.json
  void (*build)(Decoder& m);
  ModelDefaults defaults = {};
};

// Returns the entry for config.json's model_type. Throws Error("convert") that lists the supported
// ones if there is no such entry.
const Architecture& FindArchitecture(const HfConfig& config);

}  // namespace sinter::convert

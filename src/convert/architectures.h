// The supported architectures. Each has one function that assembles a decoder layer by layer.
#pragma once

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

struct Architecture {
  std::string_view model_type;  // of config.json
  std::string_view genai_type;  // of genai_config.json
  void (*build)(Decoder& m);
};

// Returns the entry for config.json's model_type. Throws Error("convert") that lists the supported
// ones if there is no such entry.
const Architecture& FindArchitecture(const HfConfig& config);

}  // namespace sinter::convert

#include "convert/architectures.h"

#include <string>

#include "base/error.h"

namespace sinter::convert {
namespace {

constexpr Architecture kArchitectures[] = {
    {"gemma3_text",
     "gemma3_text",
     BuildGemma3,
     {.rope_theta = 1e6, .head_size = 256, .sliding_window = 4096, .tied_embeddings = true}},
    {"gpt_oss",
     "gptoss",
     BuildGptOss,
     {.rope_theta = 150000, .norm_epsilon = 1e-5, .head_size = 64, .sliding_window = 128}},
    {"llama", "llama", BuildLlama},
    {"mistral", "mistral", BuildMistral, {.sliding_window = 4096}},
    {"phi3", "phi3", BuildPhi3, {.norm_epsilon = 1e-5}},
    {"qwen2", "qwen2", BuildQwen2, {.sliding_window = 4096}},
    {"qwen3", "qwen3", BuildQwen3, {.head_size = 128, .sliding_window = 4096}},
    {"qwen3_moe", "qwen3moe", BuildQwen3Moe, {.sliding_window = 4096}},
    {"smollm3", "smollm3", BuildSmolLm3, {.rope_theta = 2e6, .tied_embeddings = true}},
};

}  // namespace

const Architecture& FindArchitecture(const HfConfig& config) {
  std::string names;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.model_type == config.model_type) return architecture;
    names += (names.empty() ? "" : ", ") + std::string(architecture.model_type);
  }
  throw Error("convert", "{}: model_type: got '{}', want one of {}", config.file, config.model_type,
              names);
}

}  // namespace sinter::convert

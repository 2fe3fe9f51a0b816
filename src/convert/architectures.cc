#include "convert/architectures.h"

#include <string>

#include "base/error.h"

namespace sinter::convert {
namespace {

constexpr Architecture kArchitectures[] = {
    {"gemma3_text", "gemma3_text", BuildGemma3},
    {"gpt_oss", "gptoss", BuildGptOss},
    {"llama", "llama", BuildLlama},
    {"mistral", "mistral", BuildMistral},
    {"phi3", "phi3", BuildPhi3},
    {"qwen2", "qwen2", BuildQwen2},
    {"qwen3", "qwen3", BuildQwen3},
    {"qwen3_moe", "qwen3moe", BuildQwen3Moe},
    {"smollm3", "smollm3", BuildSmolLm3},
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

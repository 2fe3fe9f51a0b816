// A tokenizer for models with random weights: every byte is a token, and every other id has a
// made-up word, so that any text can be encoded and any id be decoded.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace sinter::convert {

// tokenizer.json for a vocabulary of `vocab` ids. `genai_config` says which ids are special.
// Throws Error("convert") where the vocabulary is too small.
std::string RandomTokenizer(int64_t vocab, const nlohmann::ordered_json& genai_config);
// tokenizer_config.json, and a plain chat template.
std::string RandomTokenizerConfig(const nlohmann::ordered_json& genai_config);
std::string RandomChatTemplate();

}  // namespace sinter::convert

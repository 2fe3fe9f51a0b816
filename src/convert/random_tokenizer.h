// A tokenizer for models with random weights. Every byte is a token and every other id is a made-up
// word, so that any text can be encoded and any id can be decoded.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace sinter::convert {

// Returns tokenizer.json for a vocabulary of `vocab` ids. `genai_config` says which ids are
// special. Throws Error("convert") if the vocabulary is too small for all bytes and special tokens.
std::string RandomTokenizer(int64_t vocab, const nlohmann::ordered_json& genai_config);
// Return tokenizer_config.json and a plain chat template.
std::string RandomTokenizerConfig(const nlohmann::ordered_json& genai_config);
std::string RandomChatTemplate();

}  // namespace sinter::convert

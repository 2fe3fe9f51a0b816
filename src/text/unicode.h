// Provides Unicode properties and normal forms, based on utf8proc, as the reference tokenizer
// (Rust) defines them.
#pragma once

#include <string>
#include <string_view>

namespace sinter::text {

bool IsWhitespace(char32_t c);  // property White_Space
bool IsNumeric(char32_t c);     // general category N
bool IsPunctuation(
    char32_t c);  // general category P, and all ASCII punctuation ($ + < = > ^ ` | ~ are symbols)
bool IsMark(char32_t c);  // general category M

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// Returns the normal form of valid UTF-8 (UAX #15). O(n log n), even if marks come in long, badly
// ordered runs.
std::string Normalize(std::string_view text, NormalForm form);

// Returns `text` with every character converted to lower case on its own (no final sigma).
std::string ToLower(std::string_view text);

}  // namespace sinter::text

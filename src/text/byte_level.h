// The byte alphabet of GPT-2 (encoder.py, bytes_to_unicode): every byte as one printable character.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sinter::text {

// Every byte of `text` as its character: " a" is "Ġa".
std::string BytesToByteLevel(std::string_view text);

// Appends to *out the bytes that `token` stands for; if any character is outside the alphabet (an
// added token, say), the token's own bytes.
void ByteLevelToBytes(std::string_view token, std::string* out);

}  // namespace sinter::text

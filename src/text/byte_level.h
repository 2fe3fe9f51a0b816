// Converts to and from the byte alphabet of GPT-2 (encoder.py, bytes_to_unicode), in which every
// byte is one printable character.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sinter::text {

// Returns `text` with every byte as its character: " a" becomes "Ġa".
std::string BytesToByteLevel(std::string_view text);

// Appends to *out the bytes that `token` stands for. If any character is outside the alphabet (in
// an added token, say), appends the token's own bytes instead.
void ByteLevelToBytes(std::string_view token, std::string* out);

}  // namespace sinter::text

#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace sinter::text {
namespace {

// A printable Latin-1 byte maps to its own character; the other 68 bytes map to U+0100 and up.
constexpr bool StandsForItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}
constexpr int kAlphabetEnd = 0x100 + 68;

struct Alphabet {
  std::array<std::string, 256> character_of;
  std::array<int16_t, kAlphabetEnd> byte_of;

  Alphabet() {
    byte_of.fill(-1);
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const int code_point = StandsForItself(byte) ? byte : next++;
      AppendUtf8(static_cast<char32_t>(code_point), &character_of[byte]);
      byte_of[code_point] = static_cast<int16_t>(byte);
    }
  }
};

const Alphabet& GetAlphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

}  // namespace

std::string BytesToByteLevel(std::string_view text) {
  const Alphabet& alphabet = GetAlphabet();
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (const char c : text) out += alphabet.character_of[static_cast<uint8_t>(c)];
  return out;
}

void ByteLevelToBytes(std::string_view token, std::string* out) {
  const Alphabet& alphabet = GetAlphabet();
  const size_t start = out->size();
  for (size_t pos = 0; pos < token.size();) {
    const char32_t c = NextCodePoint(token, &pos);
    const int byte = c < alphabet.byte_of.size() ? alphabet.byte_of[c] : -1;
    if (byte < 0) {
      out->replace(start, std::string::npos, token);
      return;
    }
    out->push_back(static_cast<char>(byte));
  }
}

}  // namespace sinter::text

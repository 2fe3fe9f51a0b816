#include "text/jinja/string_literal.h"

#include <cstdint>

#include "text/jinja/template_error.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

void AppendCharacter(uint32_t code, std::string* out) {
  if (code >= 0xD800 && code < 0xE000) {
    Fail("string literal: got the lone surrogate U+{:04X}, want a character", code);
  }
  AppendUtf8(code, out);
}

// Reads exactly `count` hexadecimal digits.
uint32_t ReadHex(std::string_view text, size_t* pos, int count) {
  uint32_t code = 0;
  for (int i = 0; i < count; ++i, ++*pos) {
    const int digit = *pos < text.size() ? HexDigit(text[*pos]) : -1;
    if (digit < 0) {
      Fail("string literal: truncated \\{} escape", count == 2   ? "xXX"
                                                    : count == 4 ? "uXXXX"
                                                                 : "UXXXXXXXX");
    }
    code = code * 16 + static_cast<uint32_t>(digit);
  }
  if (code > 0x10FFFF) Fail("string literal: illegal Unicode character U+{:X}", code);
  return code;
}

// Reads one to three octal digits.
uint32_t ReadOctal(std::string_view text, size_t* pos) {
  uint32_t code = 0;
  for (int i = 0; i < 3 && *pos < text.size() && text[*pos] >= '0' && text[*pos] <= '7';
       ++i, ++*pos) {
    code = code * 8 + static_cast<uint32_t>(text[*pos] - '0');
  }
  return code;
}

}  // namespace

std::string UnescapeString(std::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const char c = text[pos++];
    if (c != '\\') {
      out += c;
      continue;
    }
    if (pos >= text.size()) Fail("string literal: \\ at end of string");
    const char escape = text[pos];
    if (escape >= '0' && escape <= '7') {
      AppendCharacter(ReadOctal(text, &pos), &out);
      continue;
    }
    if (static_cast<unsigned char>(escape) >= 0x80) {
      // Jinja writes the character as an escape first, so that this backslash escapes a backslash.
      const auto code = static_cast<uint32_t>(NextCodePoint(text, &pos));
      out += code < 0x100     ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
      continue;
    }
    ++pos;
    switch (escape) {
      case '\n':
        break;
      case '\\':
      case '\'':
      case '"':
        out += escape;
        break;
      case 'a':
        out += '\a';
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'v':
        out += '\v';
        break;
      case 'x':
        AppendCharacter(ReadHex(text, &pos, 2), &out);
        break;
      case 'u':
        AppendCharacter(ReadHex(text, &pos, 4), &out);
        break;
      case 'U':
        AppendCharacter(ReadHex(text, &pos, 8), &out);
        break;
      case 'N':
        Fail("string literal: \\N{{...}} escapes are not supported, want \\u or \\U");
      default:
        out += '\\';
        out += escape;
    }
  }
  return out;
}

}  // namespace sinter::text::jinja

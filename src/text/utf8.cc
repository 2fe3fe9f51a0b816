#include "text/utf8.h"

namespace sinter::text {

char32_t NextCodePoint(std::string_view text, size_t* pos) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[*pos + i]); };
  const uint8_t lead = byte(0);
  char32_t code_point = lead;
  size_t length = 1;
  if (lead >= 0xF0) {
    code_point =
        (lead & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu);
    length = 4;
  } else if (lead >= 0xE0) {
    code_point = (lead & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
    length = 3;
  } else if (lead >= 0xC0) {
    code_point = (lead & 0x1Fu) << 6 | (byte(1) & 0x3Fu);
    length = 2;
  }
  *pos += length;
  return code_point;
}

void AppendUtf8(char32_t code_point, std::string* out) {
  const auto append = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    append(code_point);
  } else if (code_point < 0x800) {
    append(0xC0 | code_point >> 6);
    append(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    append(0xE0 | code_point >> 12);
    append(0x80 | (code_point >> 6 & 0x3F));
    append(0x80 | (code_point & 0x3F));
  } else {
    append(0xF0 | code_point >> 18);
    append(0x80 | (code_point >> 12 & 0x3F));
    append(0x80 | (code_point >> 6 & 0x3F));
    append(0x80 | (code_point & 0x3F));
  }
}

bool IsValidUtf8(std::string_view text) { return !FindInvalidUtf8(text); }

std::optional<size_t> FindInvalidUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const size_t begin = i;
    const auto lead = static_cast<uint8_t>(text[i++]);
    if (lead < 0x80) continue;
    if (lead < 0xC2 || lead > 0xF4) return begin;
    const int continuation = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    uint8_t lower = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t upper = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (int k = 0; k < continuation; ++k, ++i, lower = 0x80, upper = 0xBF) {
      if (i == text.size()) return begin;
      const auto byte = static_cast<uint8_t>(text[i]);
      if (byte < lower || byte > upper) return begin;
    }
  }
  return std::nullopt;
}

std::string SanitizeUtf8(std::string_view text) {
  if (IsValidUtf8(text)) return std::string(text);
  std::string out;
  out.reserve(text.size() + kReplacementCharacter.size());
  Utf8Assembler assembler;
  assembler.Push(text, &out);
  assembler.Finish(&out);
  return out;
}

// Follows the state machine of the UTF-8 decoder in the WHATWG Encoding standard.
void Utf8Assembler::Push(std::string_view bytes, std::string* out) {
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (needed_ > 0) {
      if (byte >= lower_ && byte <= upper_) {
        lower_ = 0x80;
        upper_ = 0xBF;
        pending_[size_++] = c;
        if (--needed_ == 0) {
          out->append(pending_, static_cast<size_t>(size_));
          size_ = 0;
        }
        continue;
      }
      Finish(out);  // The byte itself may begin a character.
    }
    if (byte < 0x80) {
      out->push_back(c);
    } else if (byte >= 0xC2 && byte <= 0xF4) {
      needed_ = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
      if (byte == 0xE0) lower_ = 0xA0;
      if (byte == 0xED) upper_ = 0x9F;
      if (byte == 0xF0) lower_ = 0x90;
      if (byte == 0xF4) upper_ = 0x8F;
      pending_[size_++] = c;
    } else {
      out->append(kReplacementCharacter);
    }
  }
}

void Utf8Assembler::Finish(std::string* out) {
  if (needed_ > 0) out->append(kReplacementCharacter);
  *this = Utf8Assembler();
}

}  // namespace sinter::text

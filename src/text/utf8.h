// Decodes, encodes and repairs UTF-8, in one call or as the bytes arrive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sinter::text {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// Decodes the character at text[*pos] and moves *pos past it. `text` must be valid UTF-8 and *pos
// inside it.
char32_t NextCodePoint(std::string_view text, size_t* pos);

// Appends `code_point` (a Unicode scalar value) as UTF-8.
void AppendUtf8(char32_t code_point, std::string* out);

// Returns whether `text` is valid UTF-8 (no surrogates, no overlong forms, nothing above U+10FFFF).
bool IsValidUtf8(std::string_view text);

// Returns the offset of the first ill-formed sequence; nullopt if `text` is valid UTF-8.
std::optional<size_t> FindInvalidUtf8(std::string_view text);

// Returns `text` with every maximal ill-formed subsequence replaced by one U+FFFD (Unicode 15,
// section 3.9, best practice; the same rule as Rust's String::from_utf8_lossy, which the reference
// tokenizer uses).
std::string SanitizeUtf8(std::string_view text);

// Repairs bytes that arrive in pieces by the same rule. A character is output with its last byte,
// an ill-formed sequence as U+FFFD with the byte that proves it ill-formed.
class Utf8Assembler {
 public:
  // Appends to *out the text that is certain after these bytes.
  void Push(std::string_view bytes, std::string* out);
  // Appends U+FFFD if a character is incomplete, and resets the assembler.
  void Finish(std::string* out);

 private:
  char pending_[4] = {};
  int size_ = 0;    // bytes in pending_
  int needed_ = 0;  // bytes that the pending character still lacks
  uint8_t lower_ = 0x80;
  uint8_t upper_ = 0xBF;
};

}  // namespace sinter::text

#include "text/jinja/text_functions.h"

#include <cstring>

#include "text/jinja/code_points.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace sinter::text::jinja {

size_t FindText(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  if (from == text.size()) return std::string_view::npos;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

std::string Replace(Runtime& runtime, std::string_view text, std::string_view old_part,
                    std::string_view new_part, int64_t count) {
  TextBuilder out(runtime);
  size_t at = 0;
  if (old_part.empty()) {  // between all characters
    while (count != 0) {
      out.Append(new_part);
      --count;
      if (at >= text.size()) break;
      const size_t begin = at;
      NextCodePoint(text, &at);
      out.Append(text.substr(begin, at - begin));
    }
  } else {
    for (; count != 0; --count) {
      const size_t found = FindText(text, old_part, at);
      if (found == std::string_view::npos) break;
      out.Append(text.substr(at, found - at));
      out.Append(new_part);
      at = found + old_part.size();
    }
  }
  out.Append(text.substr(std::min(at, text.size())));
  return out.Take();
}

std::string Justify(Runtime& runtime, const Text& text, int64_t width, char align,
                    std::string_view fill) {
  const auto length = static_cast<int64_t>(text.length);
  const size_t padding = width > length ? static_cast<size_t>(width - length) : 0;
  size_t before = 0;
  if (align == '>') before = padding;
  // Python's center: the odd space goes to the left if the width is odd.
  if (align == '^') before = padding / 2 + (padding & static_cast<size_t>(width) & 1);
  TextBuilder out(runtime);
  out.Append(before, fill);
  out.Append(text.utf8);
  out.Append(padding - before, fill);
  return out.Take();
}

bool HasCase(std::string_view text, bool (*is)(char32_t)) {
  bool any = false;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = NextCodePoint(text, &pos);
    if (!IsUpper(c) && !IsLower(c) && !IsTitle(c)) continue;
    if (!is(c)) return false;
    any = true;
  }
  return any;
}

bool IsIdentifier(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const bool first = pos == 0;
    const char32_t c = NextCodePoint(text, &pos);
    if (!(first ? IsIdentifierStart(c) : IsIdentifierPart(c))) return false;
  }
  return !text.empty();
}

bool IsNumericCharacter(char32_t c) { return IsNumeric(c); }

}  // namespace sinter::text::jinja

#include "text/jinja/code_points.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <memory>

#include "text/jinja/case_table.h"
#include "text/jinja/text_functions.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

utf8proc_category_t CategoryOf(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool IsBetween(utf8proc_category_t category, utf8proc_category_t first, utf8proc_category_t last) {
  return category >= first && category <= last;
}

struct CharacterRange {
  char32_t first, last;
};

template <size_t N>
bool IsIn(const std::array<CharacterRange, N>& ranges, char32_t c) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](const CharacterRange& r) { return c >= r.first && c <= r.last; });
}

// Numeric_Type=Digit: digits that are not decimal, such as superscripts.
constexpr std::array<CharacterRange, 20> kOtherDigits = {{
    {0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
    {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
    {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
    {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
    {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A},
}};
// Other_Uppercase and Other_Lowercase.
constexpr std::array<CharacterRange, 5> kOtherUpper = {{
    {0x2160, 0x216F},
    {0x24B6, 0x24CF},
    {0x1F130, 0x1F149},
    {0x1F150, 0x1F169},
    {0x1F170, 0x1F189},
}};
constexpr std::array<CharacterRange, 24> kOtherLower = {{
    {0xAA, 0xAA},       {0xBA, 0xBA},       {0x2B0, 0x2B8},     {0x2C0, 0x2C1},
    {0x2E0, 0x2E4},     {0x345, 0x345},     {0x37A, 0x37A},     {0x1D2C, 0x1D6A},
    {0x1D78, 0x1D78},   {0x1D9B, 0x1DBF},   {0x2071, 0x2071},   {0x207F, 0x207F},
    {0x2090, 0x209C},   {0x2170, 0x217F},   {0x24D0, 0x24E9},   {0x2C7C, 0x2C7D},
    {0xA69C, 0xA69D},   {0xA770, 0xA770},   {0xA7F8, 0xA7F9},   {0xAB5C, 0xAB5F},
    {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA},
}};

bool IsCased(char32_t c) { return IsUpper(c) || IsLower(c) || IsTitle(c); }

bool IsCaseIgnorable(char32_t c) {
  switch (CategoryOf(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2018 || c == 0x2019;
  }
}

const SpecialCase* FindSpecialCase(char32_t c) {
  if (c < 0x80) return nullptr;
  const auto* it = std::lower_bound(
      std::begin(kSpecialCases), std::end(kSpecialCases), c,
      [](const SpecialCase& entry, char32_t character) { return entry.character < character; });
  return it != std::end(kSpecialCases) && it->character == c ? it : nullptr;
}

void AppendAll(std::u32string_view characters, std::string* out) {
  for (const char32_t c : characters) AppendUtf8(c, out);
}

void AppendUpper(char32_t c, std::string* out) {
  if (const SpecialCase* special = FindSpecialCase(c)) return AppendAll(special->upper, out);
  AppendUtf8(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))), out);
}

void AppendTitle(char32_t c, std::string* out) {
  if (const SpecialCase* special = FindSpecialCase(c)) return AppendAll(special->title, out);
  AppendUtf8(static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))), out);
}

size_t PreviousOffset(std::string_view text, size_t pos) {
  --pos;
  while (pos > 0 && (text[pos] & 0xC0) == 0x80) --pos;
  return pos;
}

char32_t CodePointAt(std::string_view text, size_t pos) { return NextCodePoint(text, &pos); }

// Whether the capital sigma in text[begin, end) ends a word: a cased letter before it, and none
// behind it, where marks and apostrophes do not count.
bool IsFinalSigma(std::string_view text, size_t begin, size_t end) {
  bool before = false;
  while (begin > 0 && !before) {
    begin = PreviousOffset(text, begin);
    const char32_t c = CodePointAt(text, begin);
    if (IsCaseIgnorable(c)) continue;
    if (!IsCased(c)) return false;
    before = true;
  }
  while (before && end < text.size()) {
    const char32_t c = NextCodePoint(text, &end);
    if (!IsCaseIgnorable(c)) return !IsCased(c);
  }
  return before;
}

// Appends the character in text[begin, end) in lower case.
void AppendLower(std::string_view text, size_t begin, size_t end, char32_t c, std::string* out) {
  if (c == 0x130) return AppendAll(U"i\u0307", out);
  if (c == 0x3A3) return AppendUtf8(IsFinalSigma(text, begin, end) ? 0x3C2 : 0x3C3, out);
  AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
}

// Calls visit(character, begin, end) for each character.
template <typename Visit>
void ForEachCharacter(std::string_view text, Visit visit) {
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    const char32_t c = NextCodePoint(text, &pos);
    visit(c, begin, pos);
  }
}

}  // namespace

bool IsSpace(char32_t c) { return IsWhitespace(c) || (c >= 0x1C && c <= 0x1F); }

bool IsPrintable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  const auto category = CategoryOf(c);
  return category != UTF8PROC_CATEGORY_CN &&
         !IsBetween(category, UTF8PROC_CATEGORY_ZS, UTF8PROC_CATEGORY_CO);
}

bool IsAlpha(char32_t c) {
  return IsBetween(CategoryOf(c), UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO);
}
bool IsDecimal(char32_t c) { return CategoryOf(c) == UTF8PROC_CATEGORY_ND; }
bool IsDigit(char32_t c) { return IsDecimal(c) || IsIn(kOtherDigits, c); }
bool IsAlnum(char32_t c) { return IsAlpha(c) || IsNumeric(c); }
bool IsUpper(char32_t c) {
  return CategoryOf(c) == UTF8PROC_CATEGORY_LU || (c >= 0x80 && IsIn(kOtherUpper, c));
}
bool IsLower(char32_t c) {
  return CategoryOf(c) == UTF8PROC_CATEGORY_LL || (c >= 0x80 && IsIn(kOtherLower, c));
}
bool IsTitle(char32_t c) { return CategoryOf(c) == UTF8PROC_CATEGORY_LT; }
bool IsIdentifierStart(char32_t c) {
  return c == '_' || IsAlpha(c) || CategoryOf(c) == UTF8PROC_CATEGORY_NL;
}
bool IsIdentifierPart(char32_t c) {
  const auto category = CategoryOf(c);
  return IsIdentifierStart(c) || category == UTF8PROC_CATEGORY_ND ||
         category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
         category == UTF8PROC_CATEGORY_PC;
}

size_t OffsetOf(const Text& text, size_t index) {
  if (index >= text.length) return text.utf8.size();
  if (text.IsAscii()) return index;
  size_t pos = 0;
  for (; index > 0; --index) {
    ++pos;
    while ((text.utf8[pos] & 0xC0) == 0x80) ++pos;
  }
  return pos;
}

std::string_view Substring(const Text& text, size_t begin, size_t end) {
  const std::string_view utf8 = text.utf8;
  if (begin >= end) return {};
  const size_t from = OffsetOf(text, begin);
  return utf8.substr(from, OffsetOf(text, end) - from);
}

size_t CodePoints(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string_view Strip(std::string_view text, Side side, std::optional<std::string_view> chars) {
  const auto strips = [&](std::string_view character) {
    return chars ? chars->find(character) != std::string_view::npos
                 : IsSpace(CodePointAt(character, 0));
  };
  size_t begin = 0, end = text.size();
  while (side != Side::kRight && begin < end) {
    size_t next = begin;
    NextCodePoint(text, &next);
    if (!strips(text.substr(begin, next - begin))) break;
    begin = next;
  }
  while (side != Side::kLeft && end > begin) {
    const size_t previous = PreviousOffset(text, end);
    if (!strips(text.substr(previous, end - previous))) break;
    end = previous;
  }
  return text.substr(begin, end - begin);
}

std::vector<std::string_view> SplitWords(std::string_view text, int64_t max_split,
                                         bool from_right) {
  std::vector<std::string_view> words;
  text = Strip(text, from_right ? Side::kRight : Side::kLeft);
  while (!text.empty()) {
    const bool last = max_split >= 0 && static_cast<int64_t>(words.size()) >= max_split;
    if (last) {
      words.push_back(text);
      break;
    }
    if (from_right) {
      size_t begin = text.size();
      while (begin > 0 && !IsSpace(CodePointAt(text, PreviousOffset(text, begin)))) {
        begin = PreviousOffset(text, begin);
      }
      words.push_back(text.substr(begin));
      text = Strip(text.substr(0, begin), Side::kRight);
    } else {
      size_t end = 0;
      while (end < text.size() && !IsSpace(CodePointAt(text, end))) NextCodePoint(text, &end);
      words.push_back(text.substr(0, end));
      text = Strip(text.substr(end), Side::kLeft);
    }
  }
  if (from_right) std::reverse(words.begin(), words.end());
  return words;
}

std::vector<std::string_view> Split(std::string_view text, std::string_view separator,
                                    int64_t max_split, bool from_right) {
  std::vector<std::string_view> parts;
  while (max_split < 0 || static_cast<int64_t>(parts.size()) < max_split) {
    const size_t at = from_right ? text.rfind(separator) : FindText(text, separator);
    if (at == std::string_view::npos) break;
    if (from_right) {
      parts.push_back(text.substr(at + separator.size()));
      text = text.substr(0, at);
    } else {
      parts.push_back(text.substr(0, at));
      text = text.substr(at + separator.size());
    }
  }
  parts.push_back(text);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    const char32_t c = NextCodePoint(text, &pos);
    const bool breaks = (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                        c == 0x2028 || c == 0x2029;
    if (!breaks) continue;
    if (c == '\r' && pos < text.size() && text[pos] == '\n') ++pos;
    lines.push_back(text.substr(start, (keep_ends ? pos : begin) - start));
    start = pos;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

std::string Upper(std::string_view text) {
  std::string out;
  ForEachCharacter(text, [&](char32_t c, size_t, size_t) { AppendUpper(c, &out); });
  return out;
}

std::string Lower(std::string_view text) {
  std::string out;
  ForEachCharacter(
      text, [&](char32_t c, size_t begin, size_t end) { AppendLower(text, begin, end, c, &out); });
  return out;
}

std::string CaseFold(std::string_view text) {
  utf8proc_uint8_t* folded = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &folded, UTF8PROC_CASEFOLD);
  if (size < 0) return std::string(text);
  const std::unique_ptr<utf8proc_uint8_t, decltype(&free)> owner(folded, &free);
  return {reinterpret_cast<const char*>(folded), static_cast<size_t>(size)};
}

std::string SwapCase(std::string_view text) {
  std::string out;
  ForEachCharacter(text, [&](char32_t c, size_t begin, size_t end) {
    if (IsUpper(c)) {
      AppendLower(text, begin, end, c, &out);
    } else if (IsLower(c)) {
      AppendUpper(c, &out);
    } else {
      AppendUtf8(c, &out);
    }
  });
  return out;
}

std::string Capitalize(std::string_view text) {
  std::string out;
  ForEachCharacter(text, [&](char32_t c, size_t begin, size_t end) {
    if (begin == 0) {
      AppendTitle(c, &out);
    } else {
      AppendLower(text, begin, end, c, &out);
    }
  });
  return out;
}

std::string TitleCase(std::string_view text) {
  std::string out;
  bool in_word = false;
  ForEachCharacter(text, [&](char32_t c, size_t begin, size_t end) {
    if (in_word) {
      AppendLower(text, begin, end, c, &out);
    } else {
      AppendTitle(c, &out);
    }
    in_word = IsCased(c);
  });
  return out;
}

}  // namespace sinter::text::jinja

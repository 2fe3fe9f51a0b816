// Python's notion of characters: code points of valid UTF-8, their classes, and what str's methods
// do with them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace sinter::text::jinja {

// str.isspace(), isprintable() and so on for one character.
bool IsSpace(char32_t c);
bool IsPrintable(char32_t c);
bool IsAlpha(char32_t c);
bool IsDecimal(char32_t c);
bool IsDigit(char32_t c);
bool IsAlnum(char32_t c);
bool IsUpper(char32_t c);
bool IsLower(char32_t c);
bool IsTitle(char32_t c);
// What an identifier may begin with, and go on with.
bool IsIdentifierStart(char32_t c);
bool IsIdentifierPart(char32_t c);

// Returns the byte offset of the code point with this index; the end if there are fewer.
size_t OffsetOf(const Text& text, size_t index);
// Returns the code points [begin, end).
std::string_view Substring(const Text& text, size_t begin, size_t end);
size_t CodePoints(std::string_view text);

enum class Side { kLeft, kRight, kBoth };
// str.strip(chars), lstrip, rstrip; white space if `chars` is not given.
std::string_view Strip(std::string_view text, Side side,
                       std::optional<std::string_view> chars = std::nullopt);
// str.split(): the words between white space, at most `max_split` cuts (all if negative).
std::vector<std::string_view> SplitWords(std::string_view text, int64_t max_split, bool from_right);
// str.split(separator), with a separator that is not empty.
std::vector<std::string_view> Split(std::string_view text, std::string_view separator,
                                    int64_t max_split, bool from_right);
// str.splitlines()
std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends);

std::string Upper(std::string_view text);
std::string Lower(std::string_view text);
std::string CaseFold(std::string_view text);
std::string SwapCase(std::string_view text);
// The first character in title case, the others in lower case.
std::string Capitalize(std::string_view text);
// Every first letter of a run of letters in title case, the others in lower case.
std::string TitleCase(std::string_view text);

}  // namespace sinter::text::jinja

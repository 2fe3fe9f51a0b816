// Functions on strings that methods, filters and tests share.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

namespace sinter::text::jinja {

// Offset of the first occurrence at or behind `from`, or npos. Takes linear time.
size_t FindText(std::string_view text, std::string_view part, size_t from = 0);

// str.replace(): at most `count` occurrences, all if it is negative.
std::string Replace(Runtime& runtime, std::string_view text, std::string_view old_part,
                    std::string_view new_part, int64_t count);

// str.ljust ('<'), rjust ('>') and center ('^') to a width in code points.
std::string Justify(Runtime& runtime, const Text& text, int64_t width, char align,
                    std::string_view fill);

// str.islower() and isupper(): at least one cased character, and all of them as `is` wants.
bool HasCase(std::string_view text, bool (*is)(char32_t));
bool IsIdentifier(std::string_view text);
bool IsNumericCharacter(char32_t c);

}  // namespace sinter::text::jinja

// Python's ways to format values into a text: %, str.format() and its format specifications; and
// HTML's escapes.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/object.h"
#include "text/jinja/value.h"

namespace sinter::text::jinja {

// Python's `format % values`.
Value FormatPercent(Runtime& runtime, const Value& format, const Value& values);
// Python's format.format(*arguments).
Value FormatBraces(Runtime& runtime, const Value& format, Arguments& arguments);
// Python's format(value, specification).
std::string FormatWithSpec(Runtime& runtime, const Value& value, std::string_view specification);

// markupsafe.escape()
std::string EscapeHtml(std::string_view text);

// How a number is written: sign, padding, base, precision. '%' and format() both map to it.
struct NumberFormat {
  char fill = ' ';
  char align = 0;          // '<', '>', '^', '=' (behind the sign); 0 for the type's own
  char sign = '-';         // '-', '+' or ' '
  bool alternate = false;  // '#'
  int64_t width = 0;
  char grouping = 0;  // ',' or '_'
  int64_t precision = -1;
  char type = 0;
};

// Appends a text of `width` code points.
void AppendPadded(std::string_view text, const NumberFormat& format, char default_align,
                  TextBuilder* out);
// Appends an integer (types d, x, X, o, b, c, n) or a float (e, E, f, F, g, G, %).
void AppendNumber(const Value& number, const NumberFormat& format, TextBuilder* out);

}  // namespace sinter::text::jinja

// Python's texts of values: str(), repr(), and numbers.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace sinter::text::jinja {

// str(value), which is also what a template prints.
std::string StrOf(Runtime& runtime, const Value& value);
// repr(value)
std::string ReprOf(Runtime& runtime, const Value& value);
// Appends str(value) without a copy of a string.
void AppendStr(Runtime& runtime, const Value& value, TextBuilder* out);

// repr() of a string, and of a float: the shortest digits that read back as the same number.
std::string ReprOfString(std::string_view text);
std::string ReprOfFloat(double number);

// The beginning of a text, for error messages: whole characters, at most 80 bytes.
std::string_view ShortText(std::string_view text);
// repr() of that.
std::string ShortRepr(std::string_view text);

}  // namespace sinter::text::jinja

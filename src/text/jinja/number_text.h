// Numbers from texts, as Python's int() and float() read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "text/jinja/runtime.h"

namespace sinter::text::jinja {

// int(text, base); nullopt where that raises ValueError. A base of 0 reads the prefixes 0x, 0o and
// 0b. Throws TemplateError for a number beyond 64 bits that is not decimal.
std::optional<Value> IntOfText(Runtime& runtime, std::string_view text, int64_t base);
// float(text); nullopt where that raises ValueError.
std::optional<double> FloatOfText(std::string_view text);

}  // namespace sinter::text::jinja

// Escapes of string literals.
#pragma once

#include <string>
#include <string_view>

namespace sinter::text::jinja {

// Returns the text of a literal without its quotes, its escapes read as Python's codec
// "unicode-escape" does. Throws TemplateError for an escape that is not complete.
std::string UnescapeString(std::string_view literal);

}  // namespace sinter::text::jinja

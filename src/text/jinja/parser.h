// Parses a template into its syntax tree, by the grammar of Jinja2 3.1.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace sinter::text::jinja {

// `source` must be valid UTF-8. Throws TemplateError with the line.
SyntaxTree Parse(std::string_view source);

}  // namespace sinter::text::jinja

// Cuts a template into tokens, exactly as Jinja2 3.1 does with trim_blocks and lstrip_blocks on and
// keep_trailing_newline off.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"

namespace sinter::text::jinja {

struct Token {
  enum class Type : uint8_t {
    kData,           // text outside of tags
    kVariableBegin,  // {{
    kVariableEnd,    // }}
    kBlockBegin,     // {%
    kBlockEnd,       // %}
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,  // end of the template
  };

  bool Is(Type wanted) const { return type == wanted; }
  bool IsOperator(std::string_view symbol) const {
    return type == Type::kOperator && text == symbol;
  }
  bool IsName(std::string_view name) const { return type == Type::kName && text == name; }

  Type type;
  int line;           // counted from 1
  std::string text;   // the data, name, operator, or the string without quotes and escapes
  Value number = {};  // of an integer or float
};

// Returns the tokens, of which the last is kEnd. `source` must be valid UTF-8. Throws TemplateError
// with the line.
std::vector<Token> Tokenize(std::string_view source);

}  // namespace sinter::text::jinja

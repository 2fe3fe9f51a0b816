// JSON from and to values, as Python's json module reads and writes it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

namespace sinter::text::jinja {

// Returns the value of a JSON text. Of equal keys the last one counts. Throws TemplateError if the
// text is not valid JSON or nests deeper than 200 levels.
Value ParseJson(Runtime& runtime, std::string_view json);

struct JsonStyle {
  bool ascii = false;                 // whether to escape what is not ASCII
  std::optional<std::string> indent;  // of one level; no line breaks without it
  std::optional<std::string> item_separator;
  std::string key_separator = ": ";
  bool sort_keys = false;
};

// json.dumps(value). Throws TemplateError for a value that JSON has no form for.
std::string DumpJson(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace sinter::text::jinja

// The methods of Python's builtin types that a template can call.
#pragma once

#include <string_view>

#include "text/jinja/object.h"

namespace sinter::text::jinja {

// Returns the method of this name that the value has, or null. Methods that change a list or dict
// are not among them, because the sandbox forbids them.
Builtin FindMethod(const Value& object, std::string_view name);
// The same for a string.
Builtin FindStringMethod(std::string_view name);

// Whether the sandbox forbids the attribute: Python's internals and what changes a list or dict.
bool IsUnsafeAttribute(const Value& object, std::string_view name);

}  // namespace sinter::text::jinja

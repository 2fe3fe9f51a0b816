// Jinja's built-in filters, tests and global functions.
#pragma once

#include <string_view>

#include "text/jinja/object.h"

namespace sinter::text::jinja {

// Returns the filter, test or global function of this name, or null.
Builtin FindFilter(std::string_view name);
Builtin FindTest(std::string_view name);
Builtin FindFunction(std::string_view name);

// The filters' tables by theme.
Builtin FindTextFilter(std::string_view name);
Builtin FindSequenceFilter(std::string_view name);
Builtin FindSelectFilter(std::string_view name);

// Returns Jinja's getter of a dotted attribute path such as "function.name" or "0.role"; an integer
// is an index, None the item itself.
class AttributeGetter {
 public:
  explicit AttributeGetter(const Value& path);
  // Replaces undefined values on the way.
  void set_default(Value fallback) { default_ = std::move(fallback); }

  Value operator()(Runtime& runtime, Value item) const;

 private:
  std::vector<Value> parts_;
  Value default_ = Value::None();
};

// Returns a string in lower case, anything else as it is.
Value IgnoreCase(Runtime& runtime, const Value& value);

}  // namespace sinter::text::jinja

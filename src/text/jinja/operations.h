// What Python's operators do with values: truth, equality, order, arithmetic, membership,
// attributes, items, slices, iteration. All throw TemplateError where Python or Jinja raise.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/object.h"
#include "text/jinja/value.h"

namespace sinter::text::jinja {

// Name of the value's type, as in Python's error messages: "str", "NoneType".
std::string_view TypeName(const Value& value);
// Throws the error of an Undefined if the value is one.
void RequireDefined(const Value& value);

bool Truth(Runtime& runtime, const Value& value);
bool Equal(Runtime& runtime, const Value& left, const Value& right);
// Hash of a dict's key. Throws for what Python cannot hash.
size_t Hash(Runtime& runtime, const Value& value);
// Python's `left < right`, `<=`, `>`, `>=`; `op` is the operator's text.
bool Ordered(Runtime& runtime, std::string_view op, const Value& left, const Value& right);
// Python's `item in container`.
bool Contains(Runtime& runtime, const Value& container, const Value& item);

enum class BinaryOp { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
Value Arithmetic(Runtime& runtime, BinaryOp op, const Value& left, const Value& right);
Value Negate(const Value& value);
Value Positive(const Value& value);

// Jinja's `object.name`: an attribute (a method), else the item; Undefined if there is neither.
// What the sandbox forbids is an Undefined that raises when used.
Value GetAttribute(Runtime& runtime, const Value& object, const std::string& name);
// Jinja's `object[index]`: the item, else the attribute of that name.
Value GetItem(Runtime& runtime, const Value& object, const Value& index);
// object[start:stop:step]; None stands for a bound that is left out.
Value GetSlice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
               const Value& step);
// len(value), or nullopt for a value without one.
std::optional<int64_t> Length(Runtime& runtime, const Value& value);
// Returns an iterator, or null if the value is not iterable.
std::unique_ptr<Iterator> TryIterate(const Value& value);
// Returns an iterator. Throws if the value is not iterable.
std::unique_ptr<Iterator> Iterate(const Value& value);
// Returns all items. Throws if the value is not iterable.
std::vector<Value> ItemsOf(Runtime& runtime, const Value& value);

bool IsCallable(const Value& value);
Value Call(Runtime& runtime, const Value& callee, Arguments& arguments);

}  // namespace sinter::text::jinja

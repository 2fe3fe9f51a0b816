// Attributes, items and slices, as Jinja's sandboxed environment gives them.
#include <algorithm>

#include "text/jinja/code_points.h"
#include "text/jinja/methods.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

// Name of an object's type in the message about a missing attribute.
std::string DescribeObject(const Value& object) {
  if (object.IsNone()) return "None";
  return fmt::format("{} object", TypeName(object));
}

Value MissingAttribute(const Value& object, std::string_view name) {
  return Value::Undefined(
      fmt::format("'{}' has no attribute {}", DescribeObject(object), ShortRepr(name)));
}

Value UnsafeAttribute(const Value& object, std::string_view name) {
  return Value::Undefined(fmt::format("access to attribute '{}' of '{}' object is unsafe.",
                                      ShortText(name), TypeName(object)));
}

// Returns Python's getattr(), where a forbidden attribute is an Undefined; nullopt if there is
// none.
std::optional<Value> PythonAttribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (IsUnsafeAttribute(object, name)) return UnsafeAttribute(object, name);
  RequireDefined(object);
  if (object.kind() == Kind::kObject) {
    std::optional<Value> value = object.object().Attribute(runtime, name);
    if (value && name.starts_with('_')) return UnsafeAttribute(object, name);
    return value;
  }
  if (const Builtin method = FindMethod(object, name)) {
    return Value::OfObject(runtime.New<FunctionObject>(name, method, object));
  }
  return std::nullopt;
}

std::optional<size_t> IndexIn(size_t length, int64_t index) {
  if (index < 0) index += static_cast<int64_t>(length);
  if (index < 0 || index >= static_cast<int64_t>(length)) return std::nullopt;
  return static_cast<size_t>(index);
}

// Returns Python's object[index], or nullopt where that raises TypeError or LookupError.
std::optional<Value> PythonItem(Runtime& runtime, const Value& object, const Value& index) {
  switch (object.kind()) {
    case Kind::kUndefined:
      RequireDefined(object);
      break;
    case Kind::kDict: {
      if (index.IsSequence() || index.IsDict()) {
        if (index.kind() != Kind::kTuple) return std::nullopt;  // not hashable
      }
      const Value* value = object.dict().Find(runtime, index);
      return value != nullptr ? std::optional(*value) : std::nullopt;
    }
    case Kind::kList:
    case Kind::kTuple:
      if (index.IsIntegral()) {
        const auto at = IndexIn(object.items().size(), index.integer());
        if (at) return object.items()[*at];
      }
      return std::nullopt;
    case Kind::kString:
      if (index.IsIntegral()) {
        const auto at = IndexIn(object.text().length, index.integer());
        if (!at) return std::nullopt;
        if (!object.text().IsAscii()) runtime.SpendBytes(object.string().size());
        std::string character(Substring(object.text(), *at, *at + 1));
        return object.IsMarkup() ? Value::Markup(std::move(character))
                                 : Value::String(std::move(character));
      }
      return std::nullopt;
    case Kind::kObject:
      return object.object().Item(runtime, index);
    default:
      break;
  }
  return std::nullopt;
}

// Bounds of a slice, as Python's slice.indices() computes them.
struct SliceBounds {
  int64_t start, stop, step;
  int64_t Count() const {
    if (step > 0) return start < stop ? (stop - start - 1) / step + 1 : 0;
    return stop < start ? (start - stop - 1) / -step + 1 : 0;
  }
};

std::optional<int64_t> SliceIndex(const Value& value) {
  if (value.IsNone()) return std::nullopt;
  if (!value.IsIntegral()) {
    Fail("slice indices must be integers or None, not '{}'", TypeName(value));
  }
  return value.integer();
}

SliceBounds BoundsOf(int64_t length, const Value& start, const Value& stop, const Value& step) {
  SliceBounds bounds = {};
  // Longer strides than the longest text behave alike and cannot overflow.
  constexpr int64_t kLongest = int64_t{1} << 40;
  bounds.step = std::clamp(SliceIndex(step).value_or(1), -kLongest, kLongest);
  if (bounds.step == 0) Fail("slice step cannot be zero");
  const int64_t lowest = bounds.step > 0 ? 0 : -1;
  const int64_t highest = bounds.step > 0 ? length : length - 1;
  const auto place = [&](const Value& value, int64_t fallback) {
    const std::optional<int64_t> index = SliceIndex(value);
    if (!index) return fallback;
    return std::clamp(*index < 0 ? *index + length : *index, lowest, highest);
  };
  bounds.start = place(start, bounds.step > 0 ? lowest : highest);
  bounds.stop = place(stop, bounds.step > 0 ? highest : lowest);
  return bounds;
}

Value SliceString(Runtime& runtime, const Value& object, const SliceBounds& bounds) {
  const Text& text = object.text();
  runtime.SpendBytes(text.utf8.size());
  std::string result;
  if (bounds.step == 1) {
    result = Substring(text, static_cast<size_t>(bounds.start), static_cast<size_t>(bounds.stop));
  } else if (bounds.Count() > 0) {
    // Offsets of all characters, so that each is found at once.
    std::vector<size_t> offsets;
    offsets.reserve(text.length + 1);
    for (size_t i = 0; i < text.utf8.size(); ++i) {
      if ((text.utf8[i] & 0xC0) != 0x80) offsets.push_back(i);
    }
    offsets.push_back(text.utf8.size());
    for (int64_t i = 0, at = bounds.start; i < bounds.Count(); ++i, at += bounds.step) {
      const auto index = static_cast<size_t>(at);
      result.append(text.utf8, offsets[index], offsets[index + 1] - offsets[index]);
    }
  }
  return object.IsMarkup() ? Value::Markup(std::move(result)) : Value::String(std::move(result));
}

}  // namespace

Value GetAttribute(Runtime& runtime, const Value& object, const std::string& name) {
  if (std::optional<Value> value = PythonAttribute(runtime, object, name)) return *value;
  const std::optional<Value> item = PythonItem(runtime, object, Value::String(name));
  return item ? *item : MissingAttribute(object, name);
}

Value GetItem(Runtime& runtime, const Value& object, const Value& index) {
  if (std::optional<Value> value = PythonItem(runtime, object, index)) return *value;
  if (!index.IsString()) {
    return Value::Undefined(fmt::format("{} has no element {}", DescribeObject(object),
                                        ShortText(ReprOf(runtime, index))));
  }
  const std::optional<Value> attribute = PythonAttribute(runtime, object, index.string());
  return attribute ? *attribute : MissingAttribute(object, index.string());
}

Value GetSlice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
               const Value& step) {
  RequireDefined(object);
  if (object.IsString()) {
    return SliceString(runtime, object,
                       BoundsOf(static_cast<int64_t>(object.text().length), start, stop, step));
  }
  if (object.IsSequence()) {
    const std::vector<Value>& items = object.items();
    const SliceBounds bounds = BoundsOf(static_cast<int64_t>(items.size()), start, stop, step);
    std::vector<Value> result;
    result.reserve(static_cast<size_t>(bounds.Count()));
    for (int64_t i = 0, at = bounds.start; i < bounds.Count(); ++i, at += bounds.step) {
      result.push_back(items[static_cast<size_t>(at)]);
    }
    return object.kind() == Kind::kList ? runtime.NewList(std::move(result))
                                        : runtime.NewTuple(std::move(result));
  }
  if (const auto* range = object.As<RangeObject>()) {
    const SliceBounds bounds = BoundsOf(range->length(), start, stop, step);
    return Value::OfObject(runtime.New<RangeObject>(range->At(bounds.start), range->At(bounds.stop),
                                                    range->step() * bounds.step));
  }
  if (object.IsDict()) Fail("unhashable type: 'slice'");
  Fail("'{}' object is not subscriptable", TypeName(object));
}

}  // namespace sinter::text::jinja

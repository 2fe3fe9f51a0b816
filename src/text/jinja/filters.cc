// Filters of single values: numbers, defaults, JSON, dicts.
#include "text/jinja/filters.h"

#include <charconv>
#include <cmath>
#include <unordered_map>

#include "text/jinja/code_points.h"
#include "text/jinja/json.h"
#include "text/jinja/methods.h"
#include "text/jinja/number_text.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

Value AbsFilter(Runtime&, const Value& self, Arguments& arguments) {
  const Bound bound("abs", arguments, {});
  RequireDefined(self);
  if (self.kind() == Kind::kFloat) return Value::Float(std::fabs(self.floating()));
  if (self.IsBigInt()) return self.string().front() == '-' ? Negate(self) : self;
  if (!self.IsIntegral()) Fail("bad operand type for abs(): '{}'", TypeName(self));
  return self.integer() < 0 ? Negate(self) : Value::Int(self.integer());
}

Value AttrFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("attr", arguments, {"name"}, 1);
  const std::string name = bound.String(0);
  // Unlike `self.name` this never is an item.
  if (self.IsDict() && FindMethod(self, name) == nullptr && !IsUnsafeAttribute(self, name)) {
    return Value::Undefined(fmt::format("'dict object' has no attribute {}", ShortRepr(name)));
  }
  return GetAttribute(runtime, self, name);
}

Value DefaultFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("default", arguments, {"default_value", "boolean"});
  const bool boolean = bound[1] != nullptr && Truth(runtime, *bound[1]);
  if (!self.IsUndefined() && !(boolean && !Truth(runtime, self))) return self;
  return bound[0] != nullptr ? *bound[0] : Value::String("");
}

std::optional<double> ToFloat(const Value& value) {
  RequireDefined(value);
  if (value.IsNumber()) return value.floating();
  return value.IsString() || value.IsBigInt() ? FloatOfText(value.string()) : std::nullopt;
}

// int(value) of a float; nullopt for NaN and infinity.
std::optional<int64_t> Truncate(double number) {
  if (!std::isfinite(number)) return std::nullopt;
  const double whole = std::trunc(number);
  if (whole < -0x1p63 || whole >= 0x1p63) {
    Fail("int: {} does not fit the 64 bits of an integer", ReprOfFloat(number));
  }
  return static_cast<int64_t>(whole);
}

Value IntFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("int", arguments, {"default", "base"});
  const Value fallback = bound[0] != nullptr ? *bound[0] : Value::Int(0);
  RequireDefined(self);
  if (self.IsIntegral()) return Value::Int(self.integer());
  if (self.IsBigInt()) return self;
  if (self.IsString()) {
    const std::optional<Value> number = IntOfText(runtime, self.string(), bound.IntOr(1, 10));
    if (number) return *number;
  }
  if (self.kind() == Kind::kFloat && std::isinf(self.floating())) {
    Fail("cannot convert float infinity to integer");
  }
  const std::optional<double> number = ToFloat(self);
  const std::optional<int64_t> whole = number ? Truncate(*number) : std::nullopt;
  return whole ? Value::Int(*whole) : fallback;
}

Value FloatFilter(Runtime&, const Value& self, Arguments& arguments) {
  const Bound bound("float", arguments, {"default"});
  const std::optional<double> number = ToFloat(self);
  if (number) return Value::Float(*number);
  return bound[0] != nullptr ? *bound[0] : Value::Float(0.0);
}

// round() of a float to digits behind the point, to even where it is a tie.
double RoundFloat(double number, int64_t digits) {
  if (!std::isfinite(number) || digits > 323) return number;
  if (digits < -308) return std::copysign(0.0, number);
  if (digits <= 0) {
    const double scale = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(number / scale) * scale;
  }
  // Printing rounds the exact value correctly.
  char buffer[700];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::fixed,
                                 static_cast<int>(digits))
                       .ptr;
  double rounded = number;
  std::from_chars(buffer, end, rounded);
  return rounded;
}

// round() of an int to tens, hundreds and so on.
int64_t RoundInt(int64_t number, int64_t digits) {
  if (digits >= 0) return number;
  if (digits < -18) return 0;
  int64_t unit = 1;
  for (int64_t i = digits; i < 0; ++i) unit *= 10;
  const int64_t rest = (number % unit + unit) % unit;
  const int64_t low = number - rest;
  const bool up = rest > unit - rest || (rest == unit - rest && (low / unit) % 2 != 0);
  return up ? low + unit : low;
}

Value RoundFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("round", arguments, {"precision", "method"});
  const int64_t precision = bound.IntOr(0, 0);
  const std::string method = bound[1] != nullptr ? bound.String(1) : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    Fail("method must be common, ceil or floor");
  }
  RequireDefined(self);
  if (self.IsBigInt() && precision >= 0 && method == "common") return self;
  if (!self.IsNumber()) Fail("type {} doesn't define __round__ method", TypeName(self));
  if (method == "common") {
    return self.IsIntegral() ? Value::Int(RoundInt(self.integer(), precision))
                             : Value::Float(RoundFloat(self.floating(), precision));
  }
  const Value scale = Arithmetic(runtime, BinaryOp::kPow, Value::Int(10), Value::Int(precision));
  const Value scaled = Arithmetic(runtime, BinaryOp::kMul, self, scale);
  const double whole =
      method == "ceil" ? std::ceil(scaled.floating()) : std::floor(scaled.floating());
  const std::optional<int64_t> integer = Truncate(whole);
  if (!integer) Fail("cannot convert float {} to integer", ReprOfFloat(whole));
  return Arithmetic(runtime, BinaryOp::kDiv, Value::Int(*integer), scale);
}

Value FileSizeFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("filesizeformat", arguments, {"binary"});
  const bool binary = bound[0] != nullptr && Truth(runtime, *bound[0]);
  const std::optional<double> bytes = ToFloat(self);
  if (!bytes) Fail("filesizeformat: got a {} that is no number", TypeName(self));
  const double base = binary ? 1024 : 1000;
  if (*bytes == 1) return Value::String("1 Byte");
  if (*bytes < base) return Value::String(fmt::format("{:.0f} Bytes", std::trunc(*bytes) + 0.0));
  double unit = base;
  std::string_view prefix;
  for (const char& letter : std::string_view(binary ? "KMGTPEZY" : "kMGTPEZY")) {
    unit *= base;
    prefix = {&letter, 1};
    if (*bytes < unit) break;
  }
  return Value::String(
      fmt::format("{:.1f} {}{}B", base * *bytes / unit, prefix, binary ? "i" : ""));
}

Value ToJsonFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = bound[0] != nullptr && Truth(runtime, *bound[0]);
  if (bound[1] != nullptr && !bound[1]->IsNone()) {
    const int64_t width = bound[1]->IsString() ? 0 : bound.IntOr(1, 0);
    runtime.CheckTextBytes(static_cast<size_t>(std::max<int64_t>(width, 0)));
    style.indent = bound[1]->IsString()
                       ? bound[1]->string()
                       : std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  if (bound[2] != nullptr && !bound[2]->IsNone()) {
    const std::vector<Value> parts = ItemsOf(runtime, *bound[2]);
    if (parts.size() != 2 || !parts[0].IsString() || !parts[1].IsString()) {
      Fail("tojson: separators: want a pair of strings");
    }
    style.item_separator = parts[0].string();
    style.key_separator = parts[1].string();
  }
  style.sort_keys = bound[3] != nullptr && Truth(runtime, *bound[3]);
  return runtime.NewString(DumpJson(runtime, self, style));
}

Value LengthFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("length", arguments, {});
  const std::optional<int64_t> length = Length(runtime, self);
  if (!length) Fail("object of type '{}' has no len()", TypeName(self));
  return Value::Int(*length);
}

class LazyItems : public Iterator {
 public:
  explicit LazyItems(Value dict) : dict_(std::move(dict)) {}
  bool Next(Runtime& runtime, Value* item) override {
    if (dict_.IsUndefined()) return false;
    if (!dict_.IsDict()) Fail("Can only get item pairs from a mapping.");
    if (position_ >= dict_.dict().size()) return false;
    const auto& [key, value] = dict_.dict().entries()[position_++];
    *item = runtime.NewTuple({key, value});
    return true;
  }

 private:
  Value dict_;
  size_t position_ = 0;
};

Value ItemsFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("items", arguments, {});
  return Value::OfObject(
      runtime.New<GeneratorObject>("generator", std::make_unique<LazyItems>(self)));
}

Value StringFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("string", arguments, {});
  return self.IsString() ? self : Value::String(StrOf(runtime, self));
}

}  // namespace

Builtin FindFilter(std::string_view name) {
  static const std::unordered_map<std::string_view, Builtin> value_filters = {
      {"abs", AbsFilter},       {"attr", AttrFilter},       {"count", LengthFilter},
      {"d", DefaultFilter},     {"default", DefaultFilter}, {"filesizeformat", FileSizeFilter},
      {"float", FloatFilter},   {"int", IntFilter},         {"items", ItemsFilter},
      {"length", LengthFilter}, {"round", RoundFilter},     {"string", StringFilter},
      {"tojson", ToJsonFilter},
  };
  const auto it = value_filters.find(name);
  if (it != value_filters.end()) return it->second;
  if (const Builtin filter = FindTextFilter(name)) return filter;
  if (const Builtin filter = FindSequenceFilter(name)) return filter;
  return FindSelectFilter(name);
}

}  // namespace sinter::text::jinja

#include "text/jinja/object.h"

#include <algorithm>

#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

class RangeIterator : public Iterator {
 public:
  explicit RangeIterator(const RangeObject& range) : range_(range) {}
  bool Next(Runtime&, Value* item) override {
    if (position_ >= range_.length()) return false;
    *item = Value::Int(range_.At(position_++));
    return true;
  }

 private:
  const RangeObject& range_;
  int64_t position_ = 0;
};

class ViewIterator : public Iterator {
 public:
  explicit ViewIterator(const DictView& view) : view_(view) {}
  bool Next(Runtime& runtime, Value* item) override {
    if (position_ >= view_.size()) return false;
    *item = view_.At(runtime, position_++);
    return true;
  }

 private:
  const DictView& view_;
  size_t position_ = 0;
};

// Goes on where a generator stands.
class GeneratorIterator : public Iterator {
 public:
  explicit GeneratorIterator(GeneratorObject& generator) : generator_(generator) {}
  bool Next(Runtime& runtime, Value* item) override { return generator_.Next(runtime, item); }

 private:
  GeneratorObject& generator_;
};

Value CyclerNext(Runtime&, const Value& self, Arguments&) {
  return self.As<CyclerObject>()->Next();
}

Value CyclerReset(Runtime&, const Value& self, Arguments&) {
  self.As<CyclerObject>()->Reset();
  return Value::None();
}

}  // namespace

std::optional<Value> Arguments::TakeKeyword(std::string_view name) {
  for (auto it = keyword.begin(); it != keyword.end(); ++it) {
    if (it->first != name) continue;
    Value value = std::move(it->second);
    keyword.erase(it);
    return value;
  }
  return std::nullopt;
}

Bound::Bound(std::string_view function, Arguments& arguments,
             std::initializer_list<std::string_view> names, size_t required)
    : function_(function), names_(names), values_(names.size()) {
  if (arguments.positional.size() > names_.size()) {
    Fail("{}() takes at most {} arguments ({} given)", function, names_.size(),
         arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = arguments.positional[i];
  for (const auto& [name, value] : arguments.keyword) {
    const auto it = std::find(names_.begin(), names_.end(), name);
    if (it == names_.end()) {
      Fail("{}() got an unexpected keyword argument '{}'", function, ShortText(name));
    }
    std::optional<Value>& slot = values_[static_cast<size_t>(it - names_.begin())];
    if (slot) Fail("{}() got multiple values for argument '{}'", function, name);
    slot = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!values_[i]) Fail("{}() missing the required argument '{}'", function, NameOf(i));
  }
}

int64_t Bound::IntOr(size_t index, int64_t fallback) const {
  if (!values_[index]) return fallback;
  const Value& value = *values_[index];
  RequireDefined(value);
  if (!value.IsIntegral()) {
    Fail("{}() argument '{}': '{}' object cannot be interpreted as an integer", function_,
         NameOf(index), TypeName(value));
  }
  return value.integer();
}

std::string_view Bound::NameOf(size_t index) const {
  return names_[index].substr(names_[index].starts_with('/') ? 1 : 0);
}

std::optional<std::string> Bound::StringOrNone(size_t index) const {
  if (!values_[index] || values_[index]->IsNone()) return std::nullopt;
  return String(index);
}

std::string Bound::String(size_t index) const {
  const Value& value = *values_[index];
  RequireDefined(value);
  if (!value.IsString()) {
    Fail("{}() argument '{}' must be str, not {}", function_, NameOf(index), TypeName(value));
  }
  return value.string();
}

std::string Object::Repr(Runtime&) { return fmt::format("<{} object>", TypeName()); }
bool Object::Truth(Runtime&) { return true; }
std::optional<int64_t> Object::Length(Runtime&) { return std::nullopt; }
std::unique_ptr<Iterator> Object::Iterate() { return nullptr; }
std::optional<Value> Object::Attribute(Runtime&, std::string_view) { return std::nullopt; }
std::optional<Value> Object::Item(Runtime&, const Value&) { return std::nullopt; }
Value Object::Call(Runtime&, Arguments&) { Fail("'{}' object is not callable", TypeName()); }
bool Object::Equals(Runtime&, const Value& other) const {
  return other.kind() == Kind::kObject && &other.object() == this;
}

RangeObject::RangeObject(int64_t start, int64_t stop, int64_t step)
    : start_(start), stop_(stop), step_(step) {
  // Upper bound of Jinja's sandbox.
  constexpr int64_t kMaxRange = 100'000;
  const __int128 span =
      step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  const __int128 stride = step > 0 ? step : -static_cast<__int128>(step);
  const __int128 length = span > 0 ? (span + stride - 1) / stride : 0;
  if (length > kMaxRange) {
    Fail("range: the sandbox blocks ranges of more than {} items", kMaxRange);
  }
  length_ = static_cast<int64_t>(length);
}

std::string RangeObject::Repr(Runtime&) {
  if (step_ == 1) return fmt::format("range({}, {})", start_, stop_);
  return fmt::format("range({}, {}, {})", start_, stop_, step_);
}

std::unique_ptr<Iterator> RangeObject::Iterate() { return std::make_unique<RangeIterator>(*this); }

std::optional<Value> RangeObject::Item(Runtime&, const Value& index) {
  if (!index.IsIntegral()) return std::nullopt;
  const int64_t at = index.integer() < 0 ? index.integer() + length_ : index.integer();
  if (at < 0 || at >= length_) return std::nullopt;
  return Value::Int(At(at));
}

bool RangeObject::Equals(Runtime&, const Value& other) const {
  const auto* range = other.As<RangeObject>();
  if (range == nullptr || range->length_ != length_) return false;
  if (length_ == 0) return true;
  return range->start_ == start_ && (length_ == 1 || range->step_ == step_);
}

std::unique_ptr<Iterator> GeneratorObject::Iterate() {
  return std::make_unique<GeneratorIterator>(*this);
}

bool GeneratorObject::Next(Runtime& runtime, Value* item) {
  const DepthScope depth(runtime);  // a generator may read from a generator
  runtime.Spend();
  return source_->Next(runtime, item);
}

std::string_view DictView::TypeName() const {
  switch (part_) {
    case Part::kKeys:
      return "dict_keys";
    case Part::kValues:
      return "dict_values";
    case Part::kItems:
      break;
  }
  return "dict_items";
}

std::string DictView::Repr(Runtime& runtime) {
  TextBuilder text(runtime);
  text.Append(TypeName());
  text.Append("([");
  for (size_t i = 0; i < size(); ++i) {
    if (i != 0) text.Append(", ");
    text.Append(ReprOf(runtime, At(runtime, i)));
  }
  text.Append("])");
  return text.Take();
}

std::unique_ptr<Iterator> DictView::Iterate() { return std::make_unique<ViewIterator>(*this); }

Value DictView::At(Runtime& runtime, size_t index) const {
  const auto& [key, value] = dict_.entries()[index];
  switch (part_) {
    case Part::kKeys:
      return key;
    case Part::kValues:
      return value;
    case Part::kItems:
      break;
  }
  return runtime.NewTuple({key, value});
}

std::string FunctionObject::Repr(Runtime&) { return fmt::format("<function {}>", name_); }

Value FunctionObject::Call(Runtime& runtime, Arguments& arguments) {
  return function_(runtime, self_, arguments);
}

std::string NamespaceObject::Repr(Runtime& runtime) {
  return fmt::format("<Namespace {}>", ReprOf(runtime, Value::OfDict(attributes_)));
}

std::optional<Value> NamespaceObject::Attribute(Runtime&, std::string_view name) {
  const Value* value = attributes_->Find(name);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

void NamespaceObject::Set(Runtime& runtime, const std::string& name, Value value) {
  attributes_->Set(runtime, Value::String(name), std::move(value));
}

std::optional<Value> CyclerObject::Attribute(Runtime& runtime, std::string_view name) {
  const Value self = Value::OfObject(this);
  if (name == "current") return items_[position_];
  if (name == "pos") return Value::Int(static_cast<int64_t>(position_));
  if (name == "items") return runtime.NewTuple(items_);
  if (name == "next") return Value::OfObject(runtime.New<FunctionObject>(name, CyclerNext, self));
  if (name == "reset") return Value::OfObject(runtime.New<FunctionObject>(name, CyclerReset, self));
  return std::nullopt;
}

Value CyclerObject::Next() {
  const Value& value = items_[position_];
  position_ = (position_ + 1) % items_.size();
  return value;
}

std::optional<Value> JoinerObject::Attribute(Runtime&, std::string_view name) {
  if (name == "sep") return separator_;
  if (name == "used") return Value::Bool(used_);
  return std::nullopt;
}

Value JoinerObject::Call(Runtime&, Arguments& arguments) {
  const Bound bound("joiner", arguments, {});
  if (used_) return separator_;
  used_ = true;
  return Value::String("");
}

}  // namespace sinter::text::jinja

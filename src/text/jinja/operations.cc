#include "text/jinja/operations.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/code_points.h"
#include "text/jinja/methods.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"
#include "text/jinja/text_functions.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

// Compares an int and a float without rounding the int. Neither is NaN.
int CompareIntFloat(int64_t integer, double number) {
  if (number >= 0x1p63) return -1;
  if (number < -0x1p63) return 1;
  const double floor = std::floor(number);
  const auto whole = static_cast<int64_t>(floor);
  if (integer != whole) return integer < whole ? -1 : 1;
  return number > floor ? -1 : 0;
}

// Compares an int beyond 64 bits with another number, by its digits.
int CompareBigInt(const Value& big, const Value& other) {
  const std::string& digits = big.string();
  const int sign = digits.front() == '-' ? -1 : 1;
  if (other.IsIntegral()) return sign;
  if (other.kind() == Kind::kFloat) {
    const double number = std::strtod(digits.c_str(), nullptr);
    return number < other.floating() ? -1 : number > other.floating() ? 1 : 0;
  }
  const std::string& others = other.string();
  if ((others.front() == '-') != (sign < 0)) return sign;
  if (digits.size() != others.size()) return digits.size() < others.size() ? -sign : sign;
  const int order = digits.compare(others) * sign;
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}

// Returns -1, 0 or 1; nullopt if one of the numbers is NaN.
std::optional<int> CompareNumbers(const Value& left, const Value& right) {
  const auto compare = [](auto a, auto b) { return a < b ? -1 : a > b ? 1 : 0; };
  const auto is_nan = [](const Value& value) {
    return value.kind() == Kind::kFloat && std::isnan(value.floating());
  };
  if (is_nan(left) || is_nan(right)) return std::nullopt;
  if (left.IsBigInt()) return CompareBigInt(left, right);
  if (right.IsBigInt()) return -CompareBigInt(right, left);
  if (left.IsIntegral() && right.IsIntegral()) return compare(left.integer(), right.integer());
  if (left.IsIntegral()) return CompareIntFloat(left.integer(), right.floating());
  if (right.IsIntegral()) return -CompareIntFloat(right.integer(), left.floating());
  return compare(left.floating(), right.floating());
}

bool IsAnyNumber(const Value& value) { return value.IsNumber() || value.IsBigInt(); }

// Compares the code points: in UTF-8 that is the order of the bytes.
int CompareStrings(const std::string& left, const std::string& right) {
  return std::string_view(left).compare(right);
}

// Whether `order`, a three-way comparison's result, fulfils the operator.
bool Fulfils(int order, std::string_view op) {
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  if (op == ">") return order > 0;
  return order >= 0;
}

class SequenceIterator : public Iterator {
 public:
  explicit SequenceIterator(const std::vector<Value>& items) : items_(items) {}
  bool Next(Runtime&, Value* item) override {
    if (position_ >= items_.size()) return false;
    *item = items_[position_++];
    return true;
  }

 private:
  const std::vector<Value>& items_;
  size_t position_ = 0;
};

class StringIterator : public Iterator {
 public:
  explicit StringIterator(std::shared_ptr<const Text> text) : text_(std::move(text)) {}
  bool Next(Runtime&, Value* item) override {
    if (position_ >= text_->utf8.size()) return false;
    const size_t begin = position_;
    NextCodePoint(text_->utf8, &position_);
    *item = Value::String(text_->utf8.substr(begin, position_ - begin));
    return true;
  }

 private:
  std::shared_ptr<const Text> text_;
  size_t position_ = 0;
};

class KeyIterator : public Iterator {
 public:
  explicit KeyIterator(const Dict& dict) : dict_(dict) {}
  bool Next(Runtime&, Value* item) override {
    if (position_ >= dict_.size()) return false;
    *item = dict_.entries()[position_++].first;
    return true;
  }

 private:
  const Dict& dict_;
  size_t position_ = 0;
};

class NothingIterator : public Iterator {
 public:
  bool Next(Runtime&, Value*) override { return false; }
};

bool EqualItems(Runtime& runtime, const std::vector<Value>& left, const std::vector<Value>& right) {
  return left.size() == right.size() &&
         std::equal(left.begin(), left.end(), right.begin(), [&](const Value& a, const Value& b) {
           return a.IsSame(b) || Equal(runtime, a, b);
         });
}

bool EqualDicts(Runtime& runtime, const Dict& left, const Dict& right) {
  return left.size() == right.size() &&
         std::all_of(left.entries().begin(), left.entries().end(), [&](const Dict::Entry& entry) {
           const Value* other = right.Find(runtime, entry.first);
           return other != nullptr && Equal(runtime, entry.second, *other);
         });
}

}  // namespace

std::string_view TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
    case Kind::kBigInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.IsMarkup() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kObject:
      break;
  }
  return value.object().TypeName();
}

void RequireDefined(const Value& value) {
  if (value.IsUndefined()) throw TemplateError(value.string());
}

bool Truth(Runtime& runtime, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.integer() != 0;
    case Kind::kBigInt:
      return true;
    case Kind::kFloat:
      return value.floating() != 0;
    case Kind::kString:
      return !value.string().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return value.dict().size() != 0;
    case Kind::kObject:
      break;
  }
  return value.object().Truth(runtime);
}

bool Equal(Runtime& runtime, const Value& left, const Value& right) {
  const DepthScope depth(runtime);
  runtime.Spend();
  if (IsAnyNumber(left) && IsAnyNumber(right)) return CompareNumbers(left, right) == 0;
  if (left.kind() == Kind::kObject) return left.object().Equals(runtime, right);
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      runtime.SpendBytes(left.string().size());
      return left.string() == right.string();
    case Kind::kList:
    case Kind::kTuple:
      return EqualItems(runtime, left.items(), right.items());
    default:
      return EqualDicts(runtime, left.dict(), right.dict());
  }
}

size_t Hash(Runtime& runtime, const Value& value) {
  const DepthScope depth(runtime);
  runtime.Spend();
  switch (value.kind()) {
    case Kind::kUndefined:
      return 1;
    case Kind::kNone:
      return 2;
    case Kind::kBool:
    case Kind::kInt:
      return std::hash<int64_t>()(value.integer());
    case Kind::kFloat: {
      const double number = value.floating();
      const bool integral = number >= -0x1p63 && number < 0x1p63 && number == std::floor(number);
      return integral ? std::hash<int64_t>()(static_cast<int64_t>(number))
                      : std::hash<double>()(number);
    }
    case Kind::kBigInt:
      // As the float that is about equal to it, because equal numbers need equal hashes.
      return std::hash<double>()(std::strtod(value.string().c_str(), nullptr));
    case Kind::kString:
      return std::hash<std::string_view>()(value.string());
    case Kind::kTuple: {
      size_t hash = 3;
      for (const Value& item : value.items()) hash = hash * 31 + Hash(runtime, item);
      return hash;
    }
    case Kind::kObject:
      return std::hash<const void*>()(&value.object());
    case Kind::kList:
    case Kind::kDict:
      break;
  }
  Fail("unhashable type: '{}'", TypeName(value));
}

bool Ordered(Runtime& runtime, std::string_view op, const Value& left, const Value& right) {
  const DepthScope depth(runtime);
  runtime.Spend();
  RequireDefined(left);
  RequireDefined(right);
  if (IsAnyNumber(left) && IsAnyNumber(right)) {
    const std::optional<int> order = CompareNumbers(left, right);
    return order && Fulfils(*order, op);
  }
  if (left.IsString() && right.IsString()) {
    runtime.SpendBytes(left.string().size());
    return Fulfils(CompareStrings(left.string(), right.string()), op);
  }
  if (left.IsSequence() && left.kind() == right.kind()) {
    const auto &a = left.items(), &b = right.items();
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (!a[i].IsSame(b[i]) && !Equal(runtime, a[i], b[i])) {
        return Ordered(runtime, op, a[i], b[i]);
      }
    }
    return Fulfils(a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0, op);
  }
  Fail("'{}' not supported between instances of '{}' and '{}'", op, TypeName(left),
       TypeName(right));
}

bool Contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.IsString()) {
    RequireDefined(item);
    if (!item.IsString()) {
      Fail("'in <string>' requires string as left operand, not {}", TypeName(item));
    }
    runtime.SpendBytes(container.string().size());
    return FindText(container.string(), item.string()) != std::string::npos;
  }
  if (container.IsDict()) return container.dict().Find(runtime, item) != nullptr;
  const std::unique_ptr<Iterator> iterator = TryIterate(container);
  if (iterator == nullptr) Fail("argument of type '{}' is not iterable", TypeName(container));
  Value other;
  while (iterator->Next(runtime, &other)) {
    if (other.IsSame(item) || Equal(runtime, other, item)) return true;
  }
  return false;
}

std::optional<int64_t> Length(Runtime& runtime, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(value.text().length);
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().size());
    case Kind::kObject:
      return value.object().Length(runtime);
    default:
      return std::nullopt;
  }
}

std::unique_ptr<Iterator> TryIterate(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return std::make_unique<NothingIterator>();
    case Kind::kString:
      return std::make_unique<StringIterator>(value.shared_text());
    case Kind::kList:
    case Kind::kTuple:
      return std::make_unique<SequenceIterator>(value.items());
    case Kind::kDict:
      return std::make_unique<KeyIterator>(value.dict());
    case Kind::kObject:
      return value.object().Iterate();
    default:
      return nullptr;
  }
}

std::unique_ptr<Iterator> Iterate(const Value& value) {
  std::unique_ptr<Iterator> iterator = TryIterate(value);
  if (iterator == nullptr) Fail("'{}' object is not iterable", TypeName(value));
  return iterator;
}

std::vector<Value> ItemsOf(Runtime& runtime, const Value& value) {
  const std::unique_ptr<Iterator> iterator = Iterate(value);
  std::vector<Value> items;
  Value item;
  while (iterator->Next(runtime, &item)) {
    runtime.Spend();
    // Items that a list does not hold yet are new: a long string has many characters.
    if (!value.IsSequence()) runtime.CountHeap(2 * sizeof(Value));
    items.push_back(item);
  }
  return items;
}

bool IsCallable(const Value& value) {
  // Undefined has a __call__, which raises.
  return value.IsUndefined() || (value.kind() == Kind::kObject && value.object().IsCallable());
}

Value Call(Runtime& runtime, const Value& callee, Arguments& arguments) {
  const DepthScope depth(runtime);
  RequireDefined(callee);
  if (!IsCallable(callee)) Fail("'{}' object is not callable", TypeName(callee));
  return callee.object().Call(runtime, arguments);
}

}  // namespace sinter::text::jinja

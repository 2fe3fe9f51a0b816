#include "text/jinja/methods.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

Value GetMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("get", arguments, {"/key", "/default"}, 1);
  const Value* value = self.dict().Find(runtime, *bound[0]);
  if (value != nullptr) return *value;
  return bound[1] != nullptr ? *bound[1] : Value::None();
}

template <DictView::Part kPart>
Value ViewMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("dict method", arguments, {});
  return Value::OfObject(runtime.New<DictView>(self.dict(), kPart));
}

Value CopyMethod(Runtime&, const Value& self, Arguments& arguments) {
  const Bound bound("copy", arguments, {});
  return self;  // values do not change, so one can stand for a copy
}

Value FromKeysMethod(Runtime& runtime, const Value&, Arguments& arguments) {
  const Bound bound("fromkeys", arguments, {"/iterable", "/value"}, 1);
  Dict* dict = runtime.NewDict();
  for (const Value& key : ItemsOf(runtime, *bound[0])) {
    dict->Set(runtime, key, bound[1] != nullptr ? *bound[1] : Value::None());
  }
  return Value::OfDict(dict);
}

Value CountOfMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("count", arguments, {"/value"}, 1);
  const auto& items = self.items();
  return Value::Int(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return item.IsSame(*bound[0]) || Equal(runtime, item, *bound[0]);
  }));
}

Value IndexOfMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("index", arguments, {"/value", "/start", "/stop"}, 1);
  const auto& items = self.items();
  const auto length = static_cast<int64_t>(items.size());
  const auto place = [&](size_t index, int64_t fallback) {
    const int64_t at = bound.IntOr(index, fallback);
    return std::clamp<int64_t>(at < 0 ? at + length : at, 0, length);
  };
  for (int64_t i = place(1, 0); i < place(2, length); ++i) {
    const Value& item = items[static_cast<size_t>(i)];
    if (item.IsSame(*bound[0]) || Equal(runtime, item, *bound[0])) return Value::Int(i);
  }
  Fail("{} is not in {}", ShortText(ReprOf(runtime, *bound[0])), TypeName(self));
}

Value IsIntegerMethod(Runtime&, const Value& self, Arguments&) {
  return Value::Bool(self.floating() == std::floor(self.floating()) &&
                     std::isfinite(self.floating()));
}

Value BitLengthMethod(Runtime&, const Value& self, Arguments&) {
  const int64_t number = self.integer();
  auto rest =
      number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  int64_t bits = 0;
  for (; rest != 0; rest >>= 1) ++bits;
  return Value::Int(bits);
}

template <size_t N>
bool IsAmong(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Builtin FindMethod(const Value& object, std::string_view name) {
  static const std::unordered_map<std::string_view, Builtin> dict_methods = {
      {"copy", CopyMethod},
      {"fromkeys", FromKeysMethod},
      {"get", GetMethod},
      {"items", ViewMethod<DictView::Part::kItems>},
      {"keys", ViewMethod<DictView::Part::kKeys>},
      {"values", ViewMethod<DictView::Part::kValues>},
  };
  switch (object.kind()) {
    case Kind::kString:
      return FindStringMethod(name);
    case Kind::kDict: {
      const auto it = dict_methods.find(name);
      return it != dict_methods.end() ? it->second : nullptr;
    }
    case Kind::kList:
      if (name == "copy") return CopyMethod;
      [[fallthrough]];
    case Kind::kTuple:
      if (name == "count") return CountOfMethod;
      return name == "index" ? IndexOfMethod : nullptr;
    case Kind::kFloat:
      return name == "is_integer" ? IsIntegerMethod : nullptr;
    case Kind::kBool:
    case Kind::kInt:
      return name == "bit_length" ? BitLengthMethod : nullptr;
    default:
      return nullptr;
  }
}

bool IsUnsafeAttribute(const Value& object, std::string_view name) {
  static constexpr std::array<std::string_view, 8> kChangesList = {
      "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
  static constexpr std::array<std::string_view, 5> kChangesDict = {"clear", "pop", "popitem",
                                                                   "setdefault", "update"};
  if (object.kind() == Kind::kList && IsAmong(kChangesList, name)) return true;
  if (object.IsDict() && IsAmong(kChangesDict, name)) return true;
  return name.size() > 4 && name.starts_with("__") && name.ends_with("__");
}

}  // namespace sinter::text::jinja

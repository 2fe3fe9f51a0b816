// map, select, reject, selectattr and rejectattr: generators, which do their work when they are
// gone through.
#include <charconv>
#include <unordered_map>

#include "text/jinja/code_points.h"
#include "text/jinja/filters.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

// What such a filter does with an item: sets *item to the item to give and returns true, or returns
// false to leave it out.
using Step = std::function<bool(Runtime& runtime, Value* item)>;

class SteppingIterator : public Iterator {
 public:
  // `make_step` reads the arguments when the first item is wanted.
  SteppingIterator(Value source, std::function<Step()> make_step)
      : source_(std::move(source)), make_step_(std::move(make_step)) {}

  bool Next(Runtime& runtime, Value* item) override {
    if (!started_) {
      started_ = true;
      if (Truth(runtime, source_)) {
        step_ = make_step_();
        items_ = Iterate(source_);
      }
    }
    while (items_ != nullptr && items_->Next(runtime, item)) {
      runtime.Spend();
      if (step_(runtime, item)) return true;
    }
    return false;
  }

 private:
  Value source_;
  std::function<Step()> make_step_;
  bool started_ = false;
  Step step_;
  std::unique_ptr<Iterator> items_;
};

Value Generate(Runtime& runtime, const Value& source, std::function<Step()> make_step) {
  return Value::OfObject(runtime.New<GeneratorObject>(
      "generator", std::make_unique<SteppingIterator>(source, std::move(make_step))));
}

Builtin NamedBuiltin(const Value& name, Builtin (*find)(std::string_view), std::string_view what) {
  const Builtin builtin = name.IsString() ? find(name.string()) : nullptr;
  if (builtin == nullptr) {
    Fail("No {} named '{}'.", what, name.IsString() ? ShortText(name.string()) : TypeName(name));
  }
  return builtin;
}

Step MapStep(Arguments arguments) {
  if (arguments.positional.empty()) {
    if (std::optional<Value> path = arguments.TakeKeyword("attribute")) {
      AttributeGetter getter(*path);
      if (std::optional<Value> fallback = arguments.TakeKeyword("default")) {
        getter.set_default(*fallback);
      }
      if (!arguments.keyword.empty()) {
        Fail("Unexpected keyword argument '{}'", ShortText(arguments.keyword.front().first));
      }
      return [getter](Runtime& runtime, Value* item) {
        *item = getter(runtime, *item);
        return true;
      };
    }
    Fail("map requires a filter argument");
  }
  const Value name = arguments.positional.front();
  arguments.positional.erase(arguments.positional.begin());
  return [name, arguments](Runtime& runtime, Value* item) {
    Arguments copy = arguments;
    *item = NamedBuiltin(name, FindFilter, "filter")(runtime, *item, copy);
    return true;
  };
}

Value MapFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  return Generate(runtime, self, [arguments]() { return MapStep(arguments); });
}

// Keeps the items for which the test gives `wanted`. `by_attribute`: the test is of the attribute
// that the first argument names.
Step SelectStep(Arguments arguments, bool wanted, bool by_attribute) {
  auto& positional = arguments.positional;
  AttributeGetter getter(Value::None());
  if (by_attribute) {
    if (positional.empty()) Fail("Missing parameter for attribute name");
    getter = AttributeGetter(positional.front());
    positional.erase(positional.begin());
  }
  if (positional.empty()) {
    return [getter, wanted](Runtime& runtime, Value* item) {
      return Truth(runtime, getter(runtime, *item)) == wanted;
    };
  }
  const Value name = positional.front();
  positional.erase(positional.begin());
  return [getter, name, arguments, wanted](Runtime& runtime, Value* item) {
    const Value value = getter(runtime, *item);
    Arguments copy = arguments;
    const Value result = NamedBuiltin(name, FindTest, "test")(runtime, value, copy);
    return Truth(runtime, result) == wanted;
  };
}

template <bool kWanted, bool kByAttribute>
Value SelectFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  return Generate(runtime, self,
                  [arguments]() { return SelectStep(arguments, kWanted, kByAttribute); });
}

}  // namespace

AttributeGetter::AttributeGetter(const Value& path) {
  if (path.IsNone()) return;
  if (!path.IsString()) {
    parts_.push_back(path);
    return;
  }
  for (const std::string_view part : Split(path.string(), ".", -1, false)) {
    const bool index = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    // A longer number is an index of nothing.
    int64_t number = INT64_MAX;
    if (index) std::from_chars(part.data(), part.data() + part.size(), number);
    parts_.push_back(index ? Value::Int(number) : Value::String(std::string(part)));
  }
}

Value AttributeGetter::operator()(Runtime& runtime, Value item) const {
  for (const Value& part : parts_) {
    item = GetItem(runtime, item, part);
    if (item.IsUndefined() && !default_.IsNone()) item = default_;
  }
  return item;
}

Value IgnoreCase(Runtime& runtime, const Value& value) {
  return value.IsString() ? runtime.NewString(Lower(value.string())) : value;
}

Builtin FindSelectFilter(std::string_view name) {
  static const std::unordered_map<std::string_view, Builtin> select_filters = {
      {"map", MapFilter},
      {"reject", SelectFilter<false, false>},
      {"rejectattr", SelectFilter<false, true>},
      {"select", SelectFilter<true, false>},
      {"selectattr", SelectFilter<true, true>},
  };
  const auto it = select_filters.find(name);
  return it != select_filters.end() ? it->second : nullptr;
}

}  // namespace sinter::text::jinja

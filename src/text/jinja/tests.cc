// Jinja's tests: `value is NAME`.
#include <unordered_map>

#include "text/jinja/code_points.h"
#include "text/jinja/filters.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/text_functions.h"

namespace sinter::text::jinja {
namespace {

template <bool (*Test)(const Value&)>
Value SimpleTest(Runtime&, const Value& self, Arguments& arguments) {
  const Bound bound("test", arguments, {});
  return Value::Bool(Test(self));
}

bool IsDefinedTest(const Value& value) { return !value.IsUndefined(); }
bool IsUndefinedTest(const Value& value) { return value.IsUndefined(); }
bool IsNoneTest(const Value& value) { return value.IsNone(); }
bool IsBooleanTest(const Value& value) { return value.IsBool(); }
bool IsTrueTest(const Value& value) { return value.IsBool() && value.boolean(); }
bool IsFalseTest(const Value& value) { return value.IsBool() && !value.boolean(); }
bool IsIntegerTest(const Value& value) { return value.kind() == Kind::kInt || value.IsBigInt(); }
bool IsFloatTest(const Value& value) { return value.kind() == Kind::kFloat; }
bool IsNumberTest(const Value& value) { return value.IsNumber() || value.IsBigInt(); }
bool IsStringTest(const Value& value) { return value.IsString(); }
bool IsMappingTest(const Value& value) { return value.IsDict(); }
bool IsIterableTest(const Value& value) { return TryIterate(value) != nullptr; }
bool IsEscapedTest(const Value& value) { return value.IsMarkup(); }

Value SequenceTest(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("sequence", arguments, {});
  // Views of dicts have a length and no items by index.
  return Value::Bool(Length(runtime, self).has_value() && self.As<DictView>() == nullptr);
}

template <bool (*Is)(char32_t)>
Value CaseTest(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("test", arguments, {});
  return Value::Bool(HasCase(StrOf(runtime, self), Is));
}

// Whether self % 2 is the remainder.
template <int kRemainder>
Value ParityTest(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("test", arguments, {});
  const Value rest = Arithmetic(runtime, BinaryOp::kMod, self, Value::Int(2));
  return Value::Bool(Equal(runtime, rest, Value::Int(kRemainder)));
}

Value DivisibleByTest(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("divisibleby", arguments, {"num"}, 1);
  const Value rest = Arithmetic(runtime, BinaryOp::kMod, self, *bound[0]);
  return Value::Bool(Equal(runtime, rest, Value::Int(0)));
}

Value InTest(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("in", arguments, {"seq"}, 1);
  return Value::Bool(Contains(runtime, *bound[0], self));
}

Value SameAsTest(Runtime&, const Value& self, Arguments& arguments) {
  const Bound bound("sameas", arguments, {"other"}, 1);
  return Value::Bool(self.IsSame(*bound[0]));
}

template <bool kEqual>
Value EqualTest(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("eq", arguments, {"/other"}, 1);
  return Value::Bool(Equal(runtime, self, *bound[0]) == kEqual);
}

template <const char* kOperator>
Value OrderTest(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound(kOperator, arguments, {"/other"}, 1);
  return Value::Bool(Ordered(runtime, kOperator, self, *bound[0]));
}
constexpr char kLess[] = "<";
constexpr char kLessEqual[] = "<=";
constexpr char kGreater[] = ">";
constexpr char kGreaterEqual[] = ">=";

Value CallableTest(Runtime&, const Value& self, Arguments& arguments) {
  const Bound bound("callable", arguments, {});
  return Value::Bool(IsCallable(self));
}

// Whether a filter or test of this name exists.
template <Builtin (*Find)(std::string_view)>
Value ExistsTest(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("test", arguments, {});
  if (!self.IsString()) {
    Hash(runtime, self);  // throws for what cannot be a dict's key
    return Value::Bool(false);
  }
  return Value::Bool(Find(self.string()) != nullptr);
}

}  // namespace

Builtin FindTest(std::string_view name) {
  static const std::unordered_map<std::string_view, Builtin> all_tests = {
      {"!=", EqualTest<false>},
      {"<", OrderTest<kLess>},
      {"<=", OrderTest<kLessEqual>},
      {"==", EqualTest<true>},
      {">", OrderTest<kGreater>},
      {">=", OrderTest<kGreaterEqual>},
      {"boolean", SimpleTest<IsBooleanTest>},
      {"callable", CallableTest},
      {"defined", SimpleTest<IsDefinedTest>},
      {"divisibleby", DivisibleByTest},
      {"eq", EqualTest<true>},
      {"equalto", EqualTest<true>},
      {"escaped", SimpleTest<IsEscapedTest>},
      {"even", ParityTest<0>},
      {"false", SimpleTest<IsFalseTest>},
      {"filter", ExistsTest<FindFilter>},
      {"float", SimpleTest<IsFloatTest>},
      {"ge", OrderTest<kGreaterEqual>},
      {"greaterthan", OrderTest<kGreater>},
      {"gt", OrderTest<kGreater>},
      {"in", InTest},
      {"integer", SimpleTest<IsIntegerTest>},
      {"iterable", SimpleTest<IsIterableTest>},
      {"le", OrderTest<kLessEqual>},
      {"lessthan", OrderTest<kLess>},
      {"lower", CaseTest<IsLower>},
      {"lt", OrderTest<kLess>},
      {"mapping", SimpleTest<IsMappingTest>},
      {"ne", EqualTest<false>},
      {"none", SimpleTest<IsNoneTest>},
      {"number", SimpleTest<IsNumberTest>},
      {"odd", ParityTest<1>},
      {"sameas", SameAsTest},
      {"sequence", SequenceTest},
      {"string", SimpleTest<IsStringTest>},
      {"test", ExistsTest<FindTest>},
      {"true", SimpleTest<IsTrueTest>},
      {"undefined", SimpleTest<IsUndefinedTest>},
      {"upper", CaseTest<IsUpper>},
  };
  const auto it = all_tests.find(name);
  return it != all_tests.end() ? it->second : nullptr;
}

}  // namespace sinter::text::jinja

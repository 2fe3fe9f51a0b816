// Evaluation of expressions.
#include "text/jinja/format.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/methods.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

bool Compares(Runtime& runtime, std::string_view op, const Value& left, const Value& right) {
  if (op == "==") return Equal(runtime, left, right);
  if (op == "!=") return !Equal(runtime, left, right);
  if (op == "in") return Contains(runtime, right, left);
  if (op == "not in") return !Contains(runtime, right, left);
  return Ordered(runtime, op, left, right);
}

}  // namespace

Value ConstantExpression::Evaluate(Interpreter&) const { return value; }

Value NameExpression::Evaluate(Interpreter& interpreter) const { return interpreter.Lookup(id); }

Value SequenceExpression::Evaluate(Interpreter& interpreter) const {
  std::vector<Value> values;
  values.reserve(items.size());
  for (const ExpressionPtr& item : items) values.push_back(interpreter.Evaluate(*item));
  Runtime& runtime = interpreter.runtime();
  return is_tuple ? runtime.NewTuple(std::move(values)) : runtime.NewList(std::move(values));
}

Value DictExpression::Evaluate(Interpreter& interpreter) const {
  Dict* dict = interpreter.runtime().NewDict();
  for (const auto& [key, value] : entries) {
    const Value evaluated_key = interpreter.Evaluate(*key);
    dict->Set(interpreter.runtime(), evaluated_key, interpreter.Evaluate(*value));
  }
  return Value::OfDict(dict);
}

Value ConditionalExpression::Evaluate(Interpreter& interpreter) const {
  if (Truth(interpreter.runtime(), interpreter.Evaluate(*test))) {
    return interpreter.Evaluate(*value);
  }
  if (otherwise != nullptr) return interpreter.Evaluate(*otherwise);
  return Value::Undefined(
      fmt::format("the inline if-expression on line {} evaluated to false and no else section was "
                  "defined.",
                  line));
}

Value LogicalExpression::Evaluate(Interpreter& interpreter) const {
  Value first = interpreter.Evaluate(*left);
  if (Truth(interpreter.runtime(), first) != is_and) return first;
  return interpreter.Evaluate(*right);
}

Value NotExpression::Evaluate(Interpreter& interpreter) const {
  return Value::Bool(!Truth(interpreter.runtime(), interpreter.Evaluate(*operand)));
}

Value SignExpression::Evaluate(Interpreter& interpreter) const {
  const Value value = interpreter.Evaluate(*operand);
  return negative ? Negate(value) : Positive(value);
}

Value ArithmeticExpression::Evaluate(Interpreter& interpreter) const {
  const Value first = interpreter.Evaluate(*left);
  return Arithmetic(interpreter.runtime(), op, first, interpreter.Evaluate(*right));
}

Value ConcatExpression::Evaluate(Interpreter& interpreter) const {
  TextBuilder text(interpreter.runtime());
  for (const ExpressionPtr& part : parts) {
    AppendStr(interpreter.runtime(), interpreter.Evaluate(*part), &text);
  }
  return Value::String(text.Take());
}

Value CompareExpression::Evaluate(Interpreter& interpreter) const {
  Value left = interpreter.Evaluate(*first);
  for (const auto& [op, operand] : rest) {
    Value right = interpreter.Evaluate(*operand);
    if (!Compares(interpreter.runtime(), op, left, right)) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

Value AttributeExpression::Evaluate(Interpreter& interpreter) const {
  return GetAttribute(interpreter.runtime(), interpreter.Evaluate(*object), name);
}

Value ItemExpression::Evaluate(Interpreter& interpreter) const {
  const Value value = interpreter.Evaluate(*object);
  return GetItem(interpreter.runtime(), value, interpreter.Evaluate(*index));
}

Value SliceExpression::Evaluate(Interpreter& interpreter) const {
  const auto bound = [&](const ExpressionPtr& expression) {
    return expression != nullptr ? interpreter.Evaluate(*expression) : Value::None();
  };
  const Value value = interpreter.Evaluate(*object);
  const Value from = bound(start), to = bound(stop), by = bound(step);
  return GetSlice(interpreter.runtime(), value, from, to, by);
}

Value CallExpression::Evaluate(Interpreter& interpreter) const {
  return Call(interpreter, nullptr);
}

Value CallExpression::Call(Interpreter& interpreter, const Value* caller) const {
  Runtime& runtime = interpreter.runtime();
  // A method of a value is called without an object for it.
  if (const auto* attribute = dynamic_cast<const AttributeExpression*>(callee.get());
      attribute != nullptr && caller == nullptr) {
    const Value object = interpreter.Evaluate(*attribute->object);
    const Builtin method =
        IsUnsafeAttribute(object, attribute->name) ? nullptr : FindMethod(object, attribute->name);
    const Value function =
        method != nullptr ? Value::None() : GetAttribute(runtime, object, attribute->name);
    jinja::Arguments evaluated = interpreter.EvaluateArguments(arguments);
    return method != nullptr ? method(runtime, object, evaluated)
                             : jinja::Call(runtime, function, evaluated);
  }
  const Value function = interpreter.Evaluate(*callee);
  jinja::Arguments evaluated = interpreter.EvaluateArguments(arguments);
  if (caller != nullptr) evaluated.keyword.emplace_back("caller", *caller);
  return jinja::Call(runtime, function, evaluated);
}

Value FilterExpression::Evaluate(Interpreter& interpreter) const {
  const Value value = input != nullptr ? interpreter.Evaluate(*input) : interpreter.block_text();
  jinja::Arguments evaluated = interpreter.EvaluateArguments(arguments);
  if (filter == nullptr) Fail("No filter named '{}' found.", ShortText(name));
  return filter(interpreter.runtime(), value, evaluated);
}

Value TestExpression::Evaluate(Interpreter& interpreter) const {
  const Value value = interpreter.Evaluate(*input);
  jinja::Arguments evaluated = interpreter.EvaluateArguments(arguments);
  if (test == nullptr) Fail("No test named '{}' found.", ShortText(name));
  return test(interpreter.runtime(), value, evaluated);
}

}  // namespace sinter::text::jinja

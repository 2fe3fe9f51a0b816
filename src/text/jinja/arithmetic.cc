// Python's arithmetic of ints, floats, strings and lists. An int that leaves 64 bits is an error.
#include <cmath>

#include "text/jinja/format.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

std::string_view Symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSub:
      return "-";
    case BinaryOp::kMul:
      return "*";
    case BinaryOp::kDiv:
      return "/";
    case BinaryOp::kFloorDiv:
      return "//";
    case BinaryOp::kMod:
      return "%";
    case BinaryOp::kPow:
      break;
  }
  return "** or pow()";
}

[[noreturn]] void FailOverflow(int64_t left, std::string_view op, int64_t right) {
  Fail("{} {} {}: the result does not fit the 64 bits of an integer", left, op, right);
}

[[noreturn]] void FailBig(const Value& value) {
  Fail("arithmetic with {}: want integers of 64 bits", ShortText(value.string()));
}

int64_t FloorDivide(int64_t left, int64_t right) {
  if (left == INT64_MIN && right == -1) FailOverflow(left, "//", right);
  const int64_t quotient = left / right;
  return quotient * right != left && (left < 0) != (right < 0) ? quotient - 1 : quotient;
}

int64_t FloorModulo(int64_t left, int64_t right) {
  if (right == -1) return 0;  // INT64_MIN % -1 would overflow
  const int64_t rest = left % right;
  return rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest;
}

double FloorModulo(double left, double right) {
  double rest = std::fmod(left, right);
  if (rest != 0) {
    if ((right < 0) != (rest < 0)) rest += right;
  } else {
    rest = std::copysign(0.0, right);
  }
  return rest;
}

double FloorDivide(double left, double right) {
  const double rest = FloorModulo(left, right);
  const double quotient = (left - rest) / right;
  if (quotient == 0) return std::copysign(0.0, left / right);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

int64_t IntPower(int64_t base, int64_t exponent) {
  int64_t result = 1, square = base;
  for (int64_t rest = exponent;;) {
    if ((rest & 1) != 0 && __builtin_mul_overflow(result, square, &result)) {
      FailOverflow(base, "**", exponent);
    }
    rest >>= 1;
    if (rest == 0) return result;
    if (__builtin_mul_overflow(square, square, &square)) FailOverflow(base, "**", exponent);
  }
}

Value FloatPower(double base, double exponent) {
  if (base == 0 && exponent < 0) Fail("0.0 cannot be raised to a negative power");
  if (base < 0 && std::isfinite(base) && std::isfinite(exponent) &&
      exponent != std::floor(exponent)) {
    Fail("a negative number to a fractional power is complex, want a real number");
  }
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) {
    Fail("the result of ** is too large for a float");
  }
  return Value::Float(result);
}

Value IntArithmetic(BinaryOp op, int64_t left, int64_t right) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOp::kAdd:
      overflow = __builtin_add_overflow(left, right, &result);
      break;
    case BinaryOp::kSub:
      overflow = __builtin_sub_overflow(left, right, &result);
      break;
    case BinaryOp::kMul:
      overflow = __builtin_mul_overflow(left, right, &result);
      break;
    case BinaryOp::kDiv:
      if (right == 0) Fail("division by zero");
      return Value::Float(
          static_cast<double>(static_cast<long double>(left) / static_cast<long double>(right)));
    case BinaryOp::kFloorDiv:
      if (right == 0) Fail("integer division or modulo by zero");
      return Value::Int(FloorDivide(left, right));
    case BinaryOp::kMod:
      if (right == 0) Fail("integer modulo by zero");
      return Value::Int(FloorModulo(left, right));
    case BinaryOp::kPow:
      if (right < 0) {
        return FloatPower(static_cast<double>(left), static_cast<double>(right));
      }
      return Value::Int(IntPower(left, right));
  }
  if (overflow) FailOverflow(left, Symbol(op), right);
  return Value::Int(result);
}

Value FloatArithmetic(BinaryOp op, double left, double right) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::Float(left + right);
    case BinaryOp::kSub:
      return Value::Float(left - right);
    case BinaryOp::kMul:
      return Value::Float(left * right);
    case BinaryOp::kDiv:
      if (right == 0) Fail("float division by zero");
      return Value::Float(left / right);
    case BinaryOp::kFloorDiv:
      if (right == 0) Fail("float floor division by zero");
      return Value::Float(FloorDivide(left, right));
    case BinaryOp::kMod:
      if (right == 0) Fail("float modulo");
      return Value::Float(FloorModulo(left, right));
    case BinaryOp::kPow:
      break;
  }
  return FloatPower(left, right);
}

Value NegateBig(const std::string& digits) {
  if (digits == "9223372036854775808") return Value::Int(INT64_MIN);
  return Value::BigInt(digits.front() == '-' ? digits.substr(1) : "-" + digits);
}

Value Concatenate(Runtime& runtime, const Value& left, const Value& right) {
  if (left.IsString()) {
    TextBuilder text(runtime);
    const bool markup = left.IsMarkup() || right.IsMarkup();
    for (const Value* part : {&left, &right}) {
      text.Append(markup && !part->IsMarkup() ? EscapeHtml(part->string()) : part->string());
    }
    return markup ? Value::Markup(text.Take()) : Value::String(text.Take());
  }
  std::vector<Value> items = left.items();
  items.insert(items.end(), right.items().begin(), right.items().end());
  return left.kind() == Kind::kList ? runtime.NewList(std::move(items))
                                    : runtime.NewTuple(std::move(items));
}

// `value` times `count`, for a string, a list or a tuple.
Value Repeat(Runtime& runtime, const Value& value, int64_t count) {
  const size_t times = count > 0 ? static_cast<size_t>(count) : 0;
  if (value.IsString()) {
    TextBuilder text(runtime);
    text.Append(times, value.string());
    return value.IsMarkup() ? Value::Markup(text.Take()) : Value::String(text.Take());
  }
  const std::vector<Value>& items = value.items();
  if (!items.empty()) {
    // Counted before the memory is taken.
    runtime.CheckTextBytes(times);
    runtime.CheckTextBytes(times * items.size() * sizeof(Value));
  }
  std::vector<Value> result;
  for (size_t i = 0; i < times && !items.empty(); ++i) {
    result.insert(result.end(), items.begin(), items.end());
  }
  return value.kind() == Kind::kList ? runtime.NewList(std::move(result))
                                     : runtime.NewTuple(std::move(result));
}

}  // namespace

Value Arithmetic(Runtime& runtime, BinaryOp op, const Value& left, const Value& right) {
  if (left.IsIntegral() && right.IsIntegral()) {
    return IntArithmetic(op, left.integer(), right.integer());
  }
  if (left.IsNumber() && right.IsNumber()) {
    return FloatArithmetic(op, left.floating(), right.floating());
  }
  // str's own % comes first: "%s" % undefined formats nothing.
  if (op == BinaryOp::kMod && left.IsString()) return FormatPercent(runtime, left, right);
  RequireDefined(left);
  RequireDefined(right);
  for (const Value* operand : {&left, &right}) {
    if (operand->IsBigInt()) FailBig(*operand);
  }
  const bool sequence = left.IsString() || left.IsSequence();
  if (op == BinaryOp::kAdd && sequence) {
    if (left.kind() == right.kind()) return Concatenate(runtime, left, right);
    Fail("can only concatenate {0} (not \"{1}\") to {0}", TypeName(left), TypeName(right));
  }
  if (op == BinaryOp::kMul && sequence && right.IsIntegral()) {
    return Repeat(runtime, left, right.integer());
  }
  if (op == BinaryOp::kMul && left.IsIntegral() && (right.IsString() || right.IsSequence())) {
    return Repeat(runtime, right, left.integer());
  }
  Fail("unsupported operand type(s) for {}: '{}' and '{}'", Symbol(op), TypeName(left),
       TypeName(right));
}

Value Negate(const Value& value) {
  RequireDefined(value);
  if (value.kind() == Kind::kFloat) return Value::Float(-value.floating());
  if (value.IsBigInt()) return NegateBig(value.string());
  if (!value.IsIntegral()) Fail("bad operand type for unary -: '{}'", TypeName(value));
  return IntArithmetic(BinaryOp::kSub, 0, value.integer());
}

Value Positive(const Value& value) {
  RequireDefined(value);
  if (value.kind() == Kind::kFloat || value.IsBigInt()) return value;
  if (!value.IsIntegral()) Fail("bad operand type for unary +: '{}'", TypeName(value));
  return Value::Int(value.integer());
}

}  // namespace sinter::text::jinja

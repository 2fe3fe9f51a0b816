// The syntax tree of a template. Every node evaluates itself with an Interpreter
// (expressions.cc, statements.cc).
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/object.h"
#include "text/jinja/operations.h"
#include "text/jinja/value.h"

namespace sinter::text::jinja {

class Interpreter;

// Number of a name in the template's table of names.
using NameId = int;

struct Node {
  virtual ~Node() = default;

  int line = 0;
  // Nodes on the longest way down from here, which bounds the stack that evaluation takes.
  int height = 1;
};

struct Expression : Node {
  virtual Value Evaluate(Interpreter& interpreter) const = 0;
};
using ExpressionPtr = std::unique_ptr<Expression>;

// What goes on after a statement.
enum class Flow { kNormal, kBreak, kContinue };

struct Statement : Node {
  virtual Flow Execute(Interpreter& interpreter) const = 0;
};
using StatementPtr = std::unique_ptr<Statement>;
using Body = std::vector<StatementPtr>;

// Expressions

struct ConstantExpression : Expression {
  explicit ConstantExpression(Value constant) : value(std::move(constant)) {}
  Value Evaluate(Interpreter& interpreter) const override;
  Value value;
};

struct NameExpression : Expression {
  explicit NameExpression(NameId name) : id(name) {}
  Value Evaluate(Interpreter& interpreter) const override;
  NameId id;
};

// A list or a tuple.
struct SequenceExpression : Expression {
  Value Evaluate(Interpreter& interpreter) const override;
  bool is_tuple = false;
  std::vector<ExpressionPtr> items;
};

struct DictExpression : Expression {
  Value Evaluate(Interpreter& interpreter) const override;
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};

struct ConditionalExpression : Expression {  // value if test else otherwise
  Value Evaluate(Interpreter& interpreter) const override;
  ExpressionPtr test, value, otherwise;  // otherwise may be null
};

struct LogicalExpression : Expression {  // and, or: one of the operands
  Value Evaluate(Interpreter& interpreter) const override;
  bool is_and = false;
  ExpressionPtr left, right;
};

struct NotExpression : Expression {
  Value Evaluate(Interpreter& interpreter) const override;
  ExpressionPtr operand;
};

struct SignExpression : Expression {  // -x, +x
  Value Evaluate(Interpreter& interpreter) const override;
  bool negative = false;
  ExpressionPtr operand;
};

struct ArithmeticExpression : Expression {
  Value Evaluate(Interpreter& interpreter) const override;
  BinaryOp op = BinaryOp::kAdd;
  ExpressionPtr left, right;
};

struct ConcatExpression : Expression {  // a ~ b ~ c
  Value Evaluate(Interpreter& interpreter) const override;
  std::vector<ExpressionPtr> parts;
};

struct CompareExpression : Expression {  // first < second in third
  Value Evaluate(Interpreter& interpreter) const override;
  ExpressionPtr first;
  std::vector<std::pair<std::string, ExpressionPtr>> rest;  // operator and operand
};

struct AttributeExpression : Expression {  // object.name
  Value Evaluate(Interpreter& interpreter) const override;
  ExpressionPtr object;
  std::string name;
};

struct ItemExpression : Expression {  // object[index]
  Value Evaluate(Interpreter& interpreter) const override;
  ExpressionPtr object, index;
};

struct SliceExpression : Expression {  // object[start:stop:step], each of which may be null
  Value Evaluate(Interpreter& interpreter) const override;
  ExpressionPtr object, start, stop, step;
};

struct ArgumentList {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> keyword;
  ExpressionPtr star, star_star;  // *args and **kwargs, or null
};

struct CallExpression : Expression {
  Value Evaluate(Interpreter& interpreter) const override;
  // Calls with one more keyword argument; `caller` may be null.
  Value Call(Interpreter& interpreter, const Value* caller) const;
  ExpressionPtr callee;
  ArgumentList arguments;
};

struct FilterExpression : Expression {
  Value Evaluate(Interpreter& interpreter) const override;
  ExpressionPtr input;  // null: the text of the block that is filtered
  std::string name;
  Builtin filter = nullptr;  // null: an error when evaluated
  ArgumentList arguments;
};

struct TestExpression : Expression {
  Value Evaluate(Interpreter& interpreter) const override;
  ExpressionPtr input;
  std::string name;
  Builtin test = nullptr;  // null: an error when evaluated
  ArgumentList arguments;
};

// What can be assigned to: a name, an attribute of a namespace, or a tuple of targets.
struct Target : Node {
  enum class Type : uint8_t { kName, kNamespaceAttribute, kTuple };
  Type type = Type::kName;
  NameId id = 0;
  std::string attribute;
  std::vector<Target> parts;
};

// Statements

struct OutputStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  ExpressionPtr value;
};

struct TextStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  std::string text;
};

struct IfStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
};

struct ForStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  Target target;
  ExpressionPtr iterable, test;  // test may be null
  bool recursive = false;
  Body body, otherwise;
};

// Parameters and body of a macro or a call block.
struct Routine {
  struct Parameter {
    NameId id;
    std::string name;
    ExpressionPtr fallback;  // null if there is none
  };
  std::vector<Parameter> parameters;
  Body body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

struct MacroStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  NameId id = 0;
  std::string name;
  Routine routine;
};

struct CallBlockStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  std::unique_ptr<CallExpression> call;
  Routine routine;
};

struct FilterBlockStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  ExpressionPtr filter;
  Body body;
};

struct SetStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  Target target;
  ExpressionPtr value;
};

struct SetBlockStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  Target target;
  ExpressionPtr filter;  // may be null
  Body body;
};

// with, and the scopes that other tags open.
struct ScopeStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  bool from_root = false;  // a block, which sees the template's own variables only
  Body body;
};

struct LoopControlStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  Flow flow = Flow::kBreak;
};

// A tag that needs other templates (include, import, extends) or is refused for another reason.
struct RefusedStatement : Statement {
  Flow Execute(Interpreter& interpreter) const override;
  std::string message;
  ExpressionPtr unless_false;  // refused only where this is true; null for always
  Body body;
};

struct SyntaxTree {
  Body body;
  std::vector<std::string> names;  // by NameId
  // Names that loops and macros set on their own; -1 if the template never uses one.
  NameId loop_name = -1, caller_name = -1, kwargs_name = -1, varargs_name = -1;
};

}  // namespace sinter::text::jinja

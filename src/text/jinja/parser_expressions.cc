#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/parser_impl.h"
#include "text/jinja/python_text.h"

namespace sinter::text::jinja {
namespace {

bool IsComparison(const Token& token) {
  static constexpr std::array<std::string_view, 6> kComparisons = {"==", "!=", "<",
                                                                   "<=", ">",  ">="};
  return token.Is(Token::Type::kOperator) &&
         std::find(kComparisons.begin(), kComparisons.end(), token.text) != kComparisons.end();
}

}  // namespace

bool ExpressionParser::IsTupleEnd(std::string_view ends_at) const {
  return Current().Is(Token::Type::kVariableEnd) || Current().Is(Token::Type::kBlockEnd) ||
         Current().IsOperator(")") || (!ends_at.empty() && Current().IsName(ends_at));
}

ExpressionPtr ExpressionParser::Tuple(bool with_condition, std::string_view ends_at,
                                      bool in_parentheses) {
  const int line = Current().line;
  auto tuple = std::make_unique<SequenceExpression>();
  tuple->is_tuple = true;
  bool has_comma = false;
  while (!IsTupleEnd(ends_at)) {
    tuple->items.push_back(Expr(with_condition));
    Raise(*tuple, tuple->items.back().get());
    if (!SkipOperator(",")) break;
    has_comma = true;
  }
  if (!has_comma) {
    if (!tuple->items.empty()) return std::move(tuple->items.front());
    // Empty parentheses are an empty tuple; nothing at all is not.
    if (!in_parentheses) {
      FailHere(fmt::format("Expected an expression, got {}", Describe(Current())));
    }
  }
  return Finish(std::move(tuple), line);
}

ExpressionPtr ExpressionParser::Expr(bool with_condition) {
  const Nesting nesting(*this);
  return with_condition ? Condition() : Or();
}

ExpressionPtr ExpressionParser::Condition() {
  int line = Current().line;
  const size_t unknown = unknown_.size();
  ExpressionPtr value = Or();
  while (SkipName("if")) {
    auto node = std::make_unique<ConditionalExpression>();
    node->value = std::move(value);
    node->test = Or();
    if (SkipName("else")) node->otherwise = Expr();
    SetHeight(*node, line, {node->value.get(), node->test.get(), node->otherwise.get()});
    unknown_.erase(unknown_.begin() + static_cast<ptrdiff_t>(unknown), unknown_.end());
    value = std::move(node);
    line = Current().line;
  }
  return value;
}

ExpressionPtr ExpressionParser::Or() {
  ExpressionPtr left = And();
  while (Current().IsName("or")) {
    const int line = Next().line;
    auto node = std::make_unique<LogicalExpression>();
    node->left = std::move(left);
    node->right = And();
    SetHeight(*node, line, {node->left.get(), node->right.get()});
    left = std::move(node);
  }
  return left;
}

ExpressionPtr ExpressionParser::And() {
  ExpressionPtr left = Not();
  while (Current().IsName("and")) {
    const int line = Next().line;
    auto node = std::make_unique<LogicalExpression>();
    node->is_and = true;
    node->left = std::move(left);
    node->right = Not();
    SetHeight(*node, line, {node->left.get(), node->right.get()});
    left = std::move(node);
  }
  return left;
}

ExpressionPtr ExpressionParser::Not() {
  if (!Current().IsName("not")) return Compare();
  const Nesting nesting(*this);
  const int line = Next().line;
  auto node = std::make_unique<NotExpression>();
  node->operand = Not();
  SetHeight(*node, line, {node->operand.get()});
  return node;
}

ExpressionPtr ExpressionParser::Compare() {
  const int line = Current().line;
  ExpressionPtr first = Sum();
  std::unique_ptr<CompareExpression> node;
  for (;;) {
    std::string op;
    if (IsComparison(Current())) {
      op = Next().text;
    } else if (SkipName("in")) {
      op = "in";
    } else if (Current().IsName("not") && Look().IsName("in")) {
      Next();
      Next();
      op = "not in";
    } else {
      break;
    }
    if (node == nullptr) {
      node = std::make_unique<CompareExpression>();
      node->first = std::move(first);
      SetHeight(*node, line, {node->first.get()});
    }
    node->rest.emplace_back(op, Sum());
    Raise(*node, node->rest.back().second.get());
  }
  if (node == nullptr) return first;
  return node;
}

ExpressionPtr ExpressionParser::Sum() {
  ExpressionPtr left = Concat();
  while (Current().IsOperator("+") || Current().IsOperator("-")) {
    auto node = std::make_unique<ArithmeticExpression>();
    const Token& token = Next();
    node->op = token.text == "+" ? BinaryOp::kAdd : BinaryOp::kSub;
    node->left = std::move(left);
    node->right = Concat();
    SetHeight(*node, token.line, {node->left.get(), node->right.get()});
    left = std::move(node);
  }
  return left;
}

ExpressionPtr ExpressionParser::Concat() {
  const int line = Current().line;
  ExpressionPtr first = Product();
  if (!Current().IsOperator("~")) return first;
  auto node = std::make_unique<ConcatExpression>();
  SetHeight(*node, line, {first.get()});
  node->parts.push_back(std::move(first));
  while (SkipOperator("~")) {
    node->parts.push_back(Product());
    Raise(*node, node->parts.back().get());
  }
  return node;
}

ExpressionPtr ExpressionParser::Product() {
  static const std::unordered_map<std::string_view, BinaryOp> binary_operators = {
      {"*", BinaryOp::kMul},
      {"/", BinaryOp::kDiv},
      {"//", BinaryOp::kFloorDiv},
      {"%", BinaryOp::kMod},
  };
  ExpressionPtr left = Power();
  while (Current().Is(Token::Type::kOperator)) {
    const auto op = binary_operators.find(Current().text);
    if (op == binary_operators.end()) break;
    const int line = Next().line;
    auto node = std::make_unique<ArithmeticExpression>();
    node->op = op->second;
    node->left = std::move(left);
    node->right = Power();
    SetHeight(*node, line, {node->left.get(), node->right.get()});
    left = std::move(node);
  }
  return left;
}

ExpressionPtr ExpressionParser::Power() {
  ExpressionPtr left = Unary();
  while (Current().IsOperator("**")) {  // from left to right, unlike Python
    const int line = Next().line;
    auto node = std::make_unique<ArithmeticExpression>();
    node->op = BinaryOp::kPow;
    node->left = std::move(left);
    node->right = Unary();
    SetHeight(*node, line, {node->left.get(), node->right.get()});
    left = std::move(node);
  }
  return left;
}

ExpressionPtr ExpressionParser::Unary(bool with_filters) {
  ExpressionPtr node;
  if (Current().IsOperator("-") || Current().IsOperator("+")) {
    const Nesting nesting(*this);
    auto sign = std::make_unique<SignExpression>();
    const Token& token = Next();
    sign->negative = token.text == "-";
    sign->operand = Unary(/*with_filters=*/false);
    SetHeight(*sign, token.line, {sign->operand.get()});
    node = std::move(sign);
  } else {
    node = Primary();
  }
  node = Postfix(std::move(node));
  return with_filters ? PostfixFilters(std::move(node)) : std::move(node);
}

ExpressionPtr ExpressionParser::Primary() {
  const Token& token = Current();
  Value constant;
  switch (token.type) {
    case Token::Type::kName:
      Next();
      if (token.text == "true" || token.text == "True") {
        constant = Value::Bool(true);
      } else if (token.text == "false" || token.text == "False") {
        constant = Value::Bool(false);
      } else if (token.text != "none" && token.text != "None") {
        NoteLoad(token.text);
        return Finish(std::make_unique<NameExpression>(IdOf(token.text)), token.line);
      }
      return Finish(std::make_unique<ConstantExpression>(constant), token.line);
    case Token::Type::kInteger:
    case Token::Type::kFloat:
      Next();
      return Finish(std::make_unique<ConstantExpression>(token.number), token.line);
    case Token::Type::kString:
      return StringConstant();
    default:
      break;
  }
  if (token.IsOperator("[")) return List();
  if (token.IsOperator("{")) return Dict();
  if (!SkipOperator("(")) FailHere(fmt::format("unexpected {}", Describe(token)));
  ExpressionPtr node = Tuple(/*with_condition=*/true, {}, /*in_parentheses=*/true);
  ExpectOperator(")");
  return node;
}

// Strings that follow each other are one.
ExpressionPtr ExpressionParser::StringConstant() {
  const int line = Current().line;
  std::string text;
  while (Current().Is(Token::Type::kString)) text += Next().text;
  return Finish(std::make_unique<ConstantExpression>(Value::String(std::move(text))), line);
}

ExpressionPtr ExpressionParser::List() {
  auto list = std::make_unique<SequenceExpression>();
  const int line = Next().line;
  while (!Current().IsOperator("]")) {
    if (!list->items.empty()) {
      ExpectOperator(",");
      if (Current().IsOperator("]")) break;
    }
    list->items.push_back(Expr());
    Raise(*list, list->items.back().get());
  }
  ExpectOperator("]");
  return Finish(std::move(list), line);
}

ExpressionPtr ExpressionParser::Dict() {
  auto dict = std::make_unique<DictExpression>();
  const int line = Next().line;
  while (!Current().IsOperator("}")) {
    if (!dict->entries.empty()) {
      ExpectOperator(",");
      if (Current().IsOperator("}")) break;
    }
    ExpressionPtr key = Expr();
    ExpectOperator(":");
    ExpressionPtr value = Expr();
    Raise(*dict, key.get());
    Raise(*dict, value.get());
    dict->entries.emplace_back(std::move(key), std::move(value));
  }
  ExpectOperator("}");
  return Finish(std::move(dict), line);
}

ExpressionPtr ExpressionParser::Postfix(ExpressionPtr node) {
  for (;;) {
    if (Current().IsOperator(".") || Current().IsOperator("[")) {
      node = Subscript(std::move(node));
    } else if (Current().IsOperator("(")) {
      node = Call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::PostfixFilters(ExpressionPtr node) {
  for (;;) {
    if (Current().IsOperator("|")) {
      node = Filters(std::move(node));
    } else if (Current().IsName("is")) {
      node = Test(std::move(node));
    } else if (Current().IsOperator("(")) {
      node = Call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::Subscript(ExpressionPtr object) {
  const Token& token = Next();
  if (token.text == ".") {
    const Token& name = Next();
    if (name.Is(Token::Type::kName)) {
      auto node = std::make_unique<AttributeExpression>();
      node->object = std::move(object);
      node->name = name.text;
      SetHeight(*node, token.line, {node->object.get()});
      return node;
    }
    if (!name.Is(Token::Type::kInteger)) FailAt(name.line, "expected name or number");
    auto node = std::make_unique<ItemExpression>();
    node->object = std::move(object);
    node->index = Finish(std::make_unique<ConstantExpression>(name.number), name.line);
    SetHeight(*node, token.line, {node->object.get()});
    return node;
  }
  ExpressionPtr index = Subscribed(&object);
  if (object == nullptr) {  // the slice has it
    ExpectOperator("]");
    return index;
  }
  if (Current().IsOperator(",")) {
    auto tuple = std::make_unique<SequenceExpression>();
    tuple->is_tuple = true;
    SetHeight(*tuple, token.line, {index.get()});
    tuple->items.push_back(std::move(index));
    while (SkipOperator(",")) {
      if (Current().IsOperator("]")) FailHere("unexpected ']'");
      tuple->items.push_back(Expr());
      Raise(*tuple, tuple->items.back().get());
    }
    index = std::move(tuple);
  }
  ExpectOperator("]");
  auto node = std::make_unique<ItemExpression>();
  node->object = std::move(object);
  node->index = std::move(index);
  SetHeight(*node, token.line, {node->object.get(), node->index.get()});
  return node;
}

// Reads what stands in brackets: an index, or a slice, which then takes the object.
ExpressionPtr ExpressionParser::Subscribed(ExpressionPtr* object) {
  const int line = Current().line;
  const auto is_end = [&]() { return Current().IsOperator("]") || Current().IsOperator(","); };
  if (Current().IsOperator("]")) {  // x[] has the empty tuple as its index
    auto tuple = std::make_unique<SequenceExpression>();
    tuple->is_tuple = true;
    return Finish(std::move(tuple), line);
  }
  ExpressionPtr start;
  if (!Current().IsOperator(":")) start = Expr();
  if (!SkipOperator(":")) return start;
  auto slice = std::make_unique<SliceExpression>();
  slice->object = std::move(*object);
  slice->start = std::move(start);
  if (!Current().IsOperator(":") && !is_end()) slice->stop = Expr();
  if (SkipOperator(":") && !is_end()) slice->step = Expr();
  if (Current().IsOperator(",")) FailHere("a tuple of slices is no index");
  SetHeight(*slice, line,
            {slice->object.get(), slice->start.get(), slice->stop.get(), slice->step.get()});
  return slice;
}

ArgumentList ExpressionParser::Arguments(Node& owner) {
  const int line = Current().line;
  ExpectOperator("(");
  ArgumentList arguments;
  const auto ensure = [&](bool valid) {
    if (!valid) FailAt(line, "invalid syntax for function call expression");
  };
  bool first = true;
  while (!Current().IsOperator(")")) {
    if (!first) {
      ExpectOperator(",");
      if (Current().IsOperator(")")) break;
    }
    first = false;
    const Expression* value = nullptr;
    if (SkipOperator("*")) {
      ensure(arguments.star == nullptr && arguments.star_star == nullptr);
      arguments.star = Expr();
      value = arguments.star.get();
    } else if (SkipOperator("**")) {
      ensure(arguments.star_star == nullptr);
      arguments.star_star = Expr();
      value = arguments.star_star.get();
    } else if (Current().Is(Token::Type::kName) && Look().IsOperator("=")) {
      ensure(arguments.star_star == nullptr);
      const std::string name = Next().text;
      Next();
      for (const auto& [other, unused] : arguments.keyword) {
        if (other == name)
          FailAt(line, fmt::format("keyword argument repeated: {}", ShortText(name)));
      }
      arguments.keyword.emplace_back(name, Expr());
      value = arguments.keyword.back().second.get();
    } else {
      ensure(arguments.star == nullptr && arguments.star_star == nullptr &&
             arguments.keyword.empty());
      arguments.positional.push_back(Expr());
      value = arguments.positional.back().get();
    }
    Raise(owner, value);
  }
  ExpectOperator(")");
  return arguments;
}

ExpressionPtr ExpressionParser::Call(ExpressionPtr callee) {
  auto node = std::make_unique<CallExpression>();
  node->callee = std::move(callee);
  SetHeight(*node, Current().line, {node->callee.get()});
  node->arguments = Arguments(*node);
  return node;
}

std::string ExpressionParser::DottedName() {
  std::string name = ExpectName().text;
  while (SkipOperator(".")) name += "." + ExpectName().text;
  return name;
}

void ExpressionParser::NoteUnknown(std::string_view what, const std::string& name, int line) {
  if (!tolerant_)
    unknown_.emplace_back(fmt::format("No {} named '{}'.", what, ShortText(name)), line);
}

ExpressionPtr ExpressionParser::Filters(ExpressionPtr input, bool starts_inline) {
  while (starts_inline || SkipOperator("|")) {
    starts_inline = false;
    auto node = std::make_unique<FilterExpression>();
    node->input = std::move(input);
    SetHeight(*node, Current().line, {node->input.get()});
    node->name = DottedName();
    node->filter = FindFilter(node->name);
    if (node->filter == nullptr) NoteUnknown("filter", node->name, node->line);
    if (Current().IsOperator("(")) node->arguments = Arguments(*node);
    input = std::move(node);
  }
  return input;
}

ExpressionPtr ExpressionParser::Test(ExpressionPtr input) {
  auto node = std::make_unique<TestExpression>();
  node->input = std::move(input);
  SetHeight(*node, Next().line, {node->input.get()});
  const bool negated = SkipName("not");
  node->name = DottedName();
  node->test = FindTest(node->name);
  if (node->test == nullptr) NoteUnknown("test", node->name, node->line);
  // A test may have one argument without parentheses.
  const Token& token = Current();
  const bool begins_argument = token.Is(Token::Type::kName) || token.Is(Token::Type::kString) ||
                               token.Is(Token::Type::kInteger) || token.Is(Token::Type::kFloat) ||
                               token.IsOperator("[") || token.IsOperator("{");
  if (token.IsOperator("(")) {
    node->arguments = Arguments(*node);
  } else if (begins_argument && !token.IsName("else") && !token.IsName("or") &&
             !token.IsName("and")) {
    if (token.IsName("is")) FailHere("You cannot chain multiple tests with is");
    node->arguments.positional.push_back(Postfix(Primary()));
    Raise(*node, node->arguments.positional.back().get());
  }
  if (!negated) return node;
  auto inverse = std::make_unique<NotExpression>();
  const int line = node->line;
  inverse->operand = std::move(node);
  SetHeight(*inverse, line, {inverse->operand.get()});
  return inverse;
}

}  // namespace sinter::text::jinja

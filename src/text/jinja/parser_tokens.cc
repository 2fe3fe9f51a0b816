// The parser's ways to read tokens, to note names and to bound the tree's height.
#include "text/jinja/parser_impl.h"
#include "text/jinja/python_text.h"

namespace sinter::text::jinja {
namespace {

constexpr std::array<std::string_view, 3> kMacroNames = {"caller", "varargs", "kwargs"};

}  // namespace

ExpressionParser::Nesting::Nesting(ExpressionParser& parser) : parser_(parser) {
  if (parser.nesting_ >= kMaxNesting) {
    parser.FailHere(
        fmt::format("the template nests too deep, want at most {} levels", kMaxNesting));
  }
  ++parser.nesting_;
}

const Token& ExpressionParser::Next() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool ExpressionParser::SkipOperator(std::string_view symbol) {
  if (!Current().IsOperator(symbol)) return false;
  Next();
  return true;
}

bool ExpressionParser::SkipName(std::string_view name) {
  if (!Current().IsName(name)) return false;
  Next();
  return true;
}

const Token& ExpressionParser::ExpectName() {
  if (!Current().Is(Token::Type::kName)) {
    FailHere(fmt::format("expected token 'name', got {}", Describe(Current())));
  }
  return Next();
}

void ExpressionParser::ExpectOperator(std::string_view symbol) {
  if (!SkipOperator(symbol)) {
    FailHere(fmt::format("expected token '{}', got {}", symbol, Describe(Current())));
  }
}

void ExpressionParser::Expect(Token::Type type) {
  if (!Current().Is(type)) {
    FailHere(fmt::format("expected token '{}', got {}", Describe({type, Current().line, "name"}),
                         Describe(Current())));
  }
  Next();
}

void ExpressionParser::FailAt(int line, const std::string& message) const {
  throw TemplateError(message, line);
}

std::string ExpressionParser::Describe(const Token& token) {
  switch (token.type) {
    case Token::Type::kData:
      return "template data / text";
    case Token::Type::kVariableBegin:
      return "begin of print statement";
    case Token::Type::kVariableEnd:
      return "end of print statement";
    case Token::Type::kBlockBegin:
      return "begin of statement block";
    case Token::Type::kBlockEnd:
      return "end of statement block";
    case Token::Type::kString:
      return "a string";
    case Token::Type::kEnd:
      return "end of template";
    case Token::Type::kName:
    case Token::Type::kInteger:
    case Token::Type::kFloat:
    case Token::Type::kOperator:
      break;
  }
  return fmt::format("'{}'", ShortText(token.text));
}

NameId ExpressionParser::IdOf(const std::string& name) {
  const auto [it, is_new] = ids_.emplace(name, static_cast<NameId>(names_.size()));
  if (is_new) names_.push_back(name);
  return it->second;
}

void ExpressionParser::NoteLoad(const std::string& name) {
  for (size_t i = 0; i < kMacroNames.size(); ++i) {
    if (name != kMacroNames[i]) continue;
    for (MacroUse& macro : macros_) macro.read[i] = macro.read[i] || !macro.hidden[i];
  }
}

void ExpressionParser::NoteStore(const std::string& name) {
  for (size_t i = 0; i < kMacroNames.size(); ++i) {
    if (name != kMacroNames[i]) continue;
    for (MacroUse& macro : macros_) macro.hidden[i] = true;
  }
}

void ExpressionParser::SetHeight(Node& node, int line,
                                 std::initializer_list<const Node*> children) {
  node.line = line;
  for (const Node* child : children) Raise(node, child);
}

void ExpressionParser::Raise(Node& node, const Node* child) {
  if (child == nullptr) return;
  node.height = std::max(node.height, child->height + 1);
  if (node.height > kMaxHeight) {
    FailHere(
        fmt::format("the template nests or chains too deep, want at most {} levels", kMaxHeight));
  }
}

}  // namespace sinter::text::jinja

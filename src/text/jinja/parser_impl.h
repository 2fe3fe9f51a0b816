// The parser's parts: tokens (parser_tokens.cc), expressions (parser_expressions.cc) and tags
// (parser.cc).
#pragma once

#include <array>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {

// Reads tokens and expressions.
class ExpressionParser {
 protected:
  // Nested brackets, blocks and operators; a tree is as high.
  static constexpr int kMaxHeight = 200;
  static constexpr int kMaxNesting = 120;

  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  // Counts one level of nested calls of the parser.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser);
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExpressionParser& parser_;
  };

  const Token& Current() const { return tokens_[at_]; }
  const Token& Look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& Next();
  bool SkipOperator(std::string_view symbol);
  bool SkipName(std::string_view name);
  // Returns the token and goes on. They fail if there is another one.
  const Token& ExpectName();
  void ExpectOperator(std::string_view symbol);
  void Expect(Token::Type type);

  [[noreturn]] void FailAt(int line, const std::string& message) const;
  [[noreturn]] void FailHere(const std::string& message) const { FailAt(Current().line, message); }
  static std::string Describe(const Token& token);

  NameId IdOf(const std::string& name);
  // Notes which of the names that make up a macro's signature its body reads.
  void NoteLoad(const std::string& name);
  void NoteStore(const std::string& name);

  // Sets line and height of a node whose children are known, and checks the height.
  template <typename T>
  std::unique_ptr<T> Finish(std::unique_ptr<T> node, int line,
                            std::initializer_list<const Node*> children = {}) {
    SetHeight(*node, line, children);
    return node;
  }
  void SetHeight(Node& node, int line, std::initializer_list<const Node*> children);
  void Raise(Node& node, const Node* child);  // makes room for one more child

  // One or more expressions separated by commas; several make a tuple. `ends_at`: a name that ends
  // the list.
  ExpressionPtr Tuple(bool with_condition = true, std::string_view ends_at = {},
                      bool in_parentheses = false);
  ExpressionPtr Expr(bool with_condition = true);
  ExpressionPtr Filters(ExpressionPtr input, bool starts_inline = false);
  ArgumentList Arguments(Node& owner);
  bool IsTupleEnd(std::string_view ends_at) const;

  // Whether an unknown filter or test is an error only when it is used, as in Jinja below `if`.
  bool tolerant_ = false;
  // Errors about unknown filters and tests outside of such places. The parts of a conditional
  // expression are known to be one only when all of it is read, so they are thrown at the end.
  std::vector<TemplateError> unknown_;

  // Names that a macro's body reads: caller, varargs, kwargs.
  struct MacroUse {
    std::array<bool, 3> read = {}, hidden = {};
  };
  std::vector<MacroUse> macros_;

  std::vector<std::string> names_;

 private:
  ExpressionPtr Condition();
  ExpressionPtr Or();
  ExpressionPtr And();
  ExpressionPtr Not();
  ExpressionPtr Compare();
  ExpressionPtr Sum();
  ExpressionPtr Concat();
  ExpressionPtr Product();
  ExpressionPtr Power();
  ExpressionPtr Unary(bool with_filters = true);
  ExpressionPtr Primary();
  ExpressionPtr StringConstant();
  ExpressionPtr List();
  ExpressionPtr Dict();
  ExpressionPtr Postfix(ExpressionPtr node);
  ExpressionPtr PostfixFilters(ExpressionPtr node);
  ExpressionPtr Subscript(ExpressionPtr object);
  ExpressionPtr Subscribed(ExpressionPtr* object);
  ExpressionPtr Call(ExpressionPtr callee);
  ExpressionPtr Test(ExpressionPtr input);
  std::string DottedName();
  void NoteUnknown(std::string_view what, const std::string& name, int line);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  std::unordered_map<std::string, NameId> ids_;
};

}  // namespace sinter::text::jinja

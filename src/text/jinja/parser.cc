#include "text/jinja/parser.h"

#include <unordered_set>

#include "text/jinja/parser_impl.h"
#include "text/jinja/python_text.h"

namespace sinter::text::jinja {
namespace {

class Parser : private ExpressionParser {
 public:
  explicit Parser(std::string_view source) : ExpressionParser(Tokenize(source)) {}

  SyntaxTree Run() {
    SyntaxTree tree;
    tree.body = Block({});
    if (!unknown_.empty()) throw TemplateError(unknown_.front());
    tree.names = std::move(names_);
    for (size_t i = 0; i < tree.names.size(); ++i) {
      const std::string& name = tree.names[i];
      const auto id = static_cast<NameId>(i);
      if (name == "loop") tree.loop_name = id;
      if (name == "caller") tree.caller_name = id;
      if (name == "kwargs") tree.kwargs_name = id;
      if (name == "varargs") tree.varargs_name = id;
    }
    return tree;
  }

 private:
  // Values that parts of the template are parsed with, restored behind them.
  template <typename T>
  class Restore {
   public:
    Restore(T* variable, T value) : variable_(variable), old_(std::exchange(*variable, value)) {}
    ~Restore() { *variable_ = old_; }
    Restore(const Restore&) = delete;
    Restore& operator=(const Restore&) = delete;

   private:
    T* variable_;
    T old_;
  };

  // Reads up to one of the tags that end the block, which is not read. No tags: up to the end of
  // the template.
  Body Block(const std::vector<std::string_view>& end_tags) {
    const Nesting nesting(*this);
    end_tags_.push_back(end_tags);
    Body body;
    for (;;) {
      const Token& token = Current();
      if (token.Is(Token::Type::kEnd)) break;
      if (token.Is(Token::Type::kData)) {
        auto text = std::make_unique<TextStatement>();
        text->text = token.text;
        body.push_back(Finish(std::move(text), Next().line));
      } else if (token.Is(Token::Type::kVariableBegin)) {
        const int line = Next().line;
        auto output = std::make_unique<OutputStatement>();
        output->value = Tuple();
        Expect(Token::Type::kVariableEnd);
        SetHeight(*output, line, {output->value.get()});
        body.push_back(std::move(output));
      } else {
        Expect(Token::Type::kBlockBegin);
        if (AtTag(end_tags)) {
          end_tags_.pop_back();
          return body;
        }
        if (StatementPtr statement = Tag(&body)) body.push_back(std::move(statement));
        Expect(Token::Type::kBlockEnd);
      }
    }
    if (!end_tags.empty()) FailHere("Unexpected end of template. " + WantedTags());
    end_tags_.pop_back();
    return body;
  }

  bool AtTag(const std::vector<std::string_view>& tags) const {
    return std::any_of(tags.begin(), tags.end(),
                       [&](std::string_view tag) { return Current().IsName(tag); });
  }

  std::string WantedTags() const {
    std::string text;
    for (const std::string_view tag : end_tags_.back()) {
      text += text.empty() ? "Jinja was looking for the following tags: '" : " or '";
      text += std::string(tag) + "'";
    }
    return text.empty() ? text : text + ".";
  }

  // Reads the body of a tag: the rest of the tag, the block, and the name of the tag that ends it.
  Body TagBody(const std::vector<std::string_view>& end_tags, Node* owner) {
    SkipOperator(":");
    Expect(Token::Type::kBlockEnd);
    Body body = Block(end_tags);
    for (const StatementPtr& statement : body) Raise(*owner, statement.get());
    return body;
  }
  // Reads the body and the tag that ends it.
  Body BodyUntil(std::string_view end_tag, Node* owner) {
    Body body = TagBody(std::vector{end_tag}, owner);
    Next();
    return body;
  }
  // Reads a body that is a scope of its own, where an unknown filter is an error at once.
  Body ScopedBody(std::string_view end_tag, Node* owner) {
    const Restore strict(&tolerant_, false);
    return BodyUntil(end_tag, owner);
  }
  // Reads a body that becomes a function, which no break can leave.
  Body FunctionBody(std::string_view end_tag, Node* owner) {
    const Restore outside(&in_loop_, false);
    return ScopedBody(end_tag, owner);
  }

  // Reads a tag. `print` appends several statements to `body` and returns null.
  StatementPtr Tag(Body* body) {
    const Token& token = Current();
    if (!token.Is(Token::Type::kName)) FailHere("tag name expected");
    const int line = token.line;
    const std::string name = Next().text;
    if (name == "for") return For(line);
    if (name == "if") return If(line);
    if (name == "set") return Set(line);
    if (name == "macro") return Macro(line);
    if (name == "call") return CallBlock(line);
    if (name == "filter") return FilterBlock(line);
    if (name == "with") return With(line);
    if (name == "block") return NamedBlock(line);
    if (name == "generation") return Generation(line);
    if (name == "break" || name == "continue") return LoopControl(name, line);
    if (name == "print") return Print(line, body);
    if (name == "autoescape") return AutoEscape(line);
    if (name == "include" || name == "import" || name == "extends" || name == "from") {
      return OtherTemplate(name, line);
    }
    FailAt(line, fmt::format("Encountered unknown tag '{}'. {}", ShortText(name), WantedTags()));
  }

  StatementPtr For(int line) {
    auto loop = std::make_unique<ForStatement>();
    loop->target = ParseTarget("in", /*with_namespace=*/false);
    CheckLoopTarget(loop->target);
    if (!SkipName("in")) {
      FailHere(fmt::format("expected token 'in', got {}", Describe(Current())));
    }
    loop->iterable = Tuple(/*with_condition=*/false, "recursive");
    const Restore strict(&tolerant_, false);
    if (SkipName("if")) loop->test = Expr();
    loop->recursive = SkipName("recursive");
    SetHeight(*loop, line, {loop->iterable.get(), loop->test.get()});
    {
      const Restore inside(&in_loop_, true);
      loop->body = TagBody({"endfor", "else"}, loop.get());
    }
    if (Next().text == "else") loop->otherwise = BodyUntil("endfor", loop.get());
    return loop;
  }

  void CheckLoopTarget(const Target& target) const {
    if (target.type == Target::Type::kName && names_[static_cast<size_t>(target.id)] == "loop") {
      FailAt(target.line, "Can't assign to special loop variable in for-loop target");
    }
    for (const Target& part : target.parts) CheckLoopTarget(part);
  }

  StatementPtr If(int line) {
    const Restore tolerant(&tolerant_, true);
    auto node = std::make_unique<IfStatement>();
    node->line = line;
    for (;;) {
      ExpressionPtr test = Tuple(/*with_condition=*/false);
      Raise(*node, test.get());
      Body body = TagBody({"elif", "else", "endif"}, node.get());
      node->branches.emplace_back(std::move(test), std::move(body));
      const std::string tag = Next().text;
      if (tag == "elif") continue;
      if (tag == "else") node->otherwise = BodyUntil("endif", node.get());
      return node;
    }
  }

  StatementPtr Set(int line) {
    Target target = ParseTarget({}, /*with_namespace=*/true);
    if (SkipOperator("=")) {
      auto node = std::make_unique<SetStatement>();
      node->target = std::move(target);
      node->value = Tuple();
      SetHeight(*node, line, {node->value.get()});
      return node;
    }
    auto node = std::make_unique<SetBlockStatement>();
    node->target = std::move(target);
    node->filter = Filters(nullptr);
    SetHeight(*node, line, {node->filter.get()});
    node->body = ScopedBody("endset", node.get());
    return node;
  }

  // Reads (name, name=default, ...).
  void Signature(Routine* routine, Node* owner) {
    ExpectOperator("(");
    std::unordered_set<std::string> seen;
    while (!Current().IsOperator(")")) {
      if (!routine->parameters.empty()) ExpectOperator(",");
      const Token& name = ExpectName();
      CheckAssignable(name);
      Routine::Parameter parameter = {IdOf(name.text), name.text, nullptr};
      if (!seen.insert(name.text).second) {
        FailAt(name.line,
               fmt::format("duplicate argument '{}' in macro definition", ShortText(name.text)));
      }
      if (SkipOperator("=")) {
        parameter.fallback = Expr();
        Raise(*owner, parameter.fallback.get());
      } else if (!routine->parameters.empty() && routine->parameters.back().fallback != nullptr) {
        FailHere("non-default argument follows default argument");
      }
      routine->parameters.push_back(std::move(parameter));
    }
    ExpectOperator(")");
  }

  void RoutineBody(std::string_view end_tag, Routine* routine, Node* owner) {
    macros_.emplace_back();
    for (const Routine::Parameter& parameter : routine->parameters) NoteStoreHere(parameter.name);
    routine->body = FunctionBody(end_tag, owner);
    const MacroUse use = macros_.back();
    macros_.pop_back();
    const auto find = [&](std::string_view name) {
      return std::find_if(routine->parameters.begin(), routine->parameters.end(),
                          [&](const auto& parameter) { return parameter.name == name; });
    };
    const auto none = routine->parameters.end();
    routine->uses_caller = use.read[0];
    routine->uses_varargs = use.read[1] && find("varargs") == none;
    routine->uses_kwargs = use.read[2] && find("kwargs") == none;
    if (const auto caller = find("caller");
        use.read[0] && caller != none && caller->fallback == nullptr) {
      FailAt(owner->line,
             "When defining macros or call blocks the special \"caller\" argument must be omitted "
             "or be given a default.");
    }
  }

  // A parameter hides the name from the macros around its own, which is the last one.
  void NoteStoreHere(const std::string& name) {
    const MacroUse own = macros_.back();
    NoteStore(name);
    macros_.back() = own;
  }

  StatementPtr Macro(int line) {
    auto node = std::make_unique<MacroStatement>();
    node->line = line;
    const Token& name = ExpectName();
    CheckAssignable(name);
    node->name = name.text;
    node->id = IdOf(node->name);
    const Restore strict(&tolerant_, false);
    Signature(&node->routine, node.get());
    RoutineBody("endmacro", &node->routine, node.get());
    return node;
  }

  StatementPtr CallBlock(int line) {
    auto node = std::make_unique<CallBlockStatement>();
    node->line = line;
    if (Current().IsOperator("(")) Signature(&node->routine, node.get());
    ExpressionPtr call = Expr();
    if (dynamic_cast<CallExpression*>(call.get()) == nullptr) FailAt(line, "expected call");
    node->call.reset(static_cast<CallExpression*>(call.release()));
    Raise(*node, node->call.get());
    RoutineBody("endcall", &node->routine, node.get());
    return node;
  }

  StatementPtr FilterBlock(int line) {
    auto node = std::make_unique<FilterBlockStatement>();
    node->filter = Filters(nullptr, /*starts_inline=*/true);
    SetHeight(*node, line, {node->filter.get()});
    node->body = ScopedBody("endfilter", node.get());
    return node;
  }

  StatementPtr With(int line) {
    auto node = std::make_unique<ScopeStatement>();
    node->line = line;
    while (!Current().Is(Token::Type::kBlockEnd)) {
      if (!node->assignments.empty()) ExpectOperator(",");
      Target target = ParseTarget({}, /*with_namespace=*/false, /*with_tuple=*/true);
      ExpectOperator("=");
      ExpressionPtr value = Expr();
      Raise(*node, value.get());
      node->assignments.emplace_back(std::move(target), std::move(value));
    }
    node->body = ScopedBody("endwith", node.get());
    return node;
  }

  // Without inheritance a block stands for its body.
  StatementPtr NamedBlock(int line) {
    const std::string name = ExpectName().text;
    if (!blocks_.insert(name).second) {
      FailAt(line, fmt::format("block '{}' defined twice", ShortText(name)));
    }
    const bool scoped = SkipName("scoped");
    const bool required = SkipName("required");
    if (required) {
      auto refused = std::make_unique<RefusedStatement>();
      refused->line = line;
      refused->message = fmt::format("Required block '{}' not found", ShortText(name));
      FunctionBody("endblock", refused.get());
      SkipName(name);
      return refused;
    }
    auto node = std::make_unique<ScopeStatement>();
    node->line = line;
    node->from_root = !scoped;
    node->body = FunctionBody("endblock", node.get());
    SkipName(name);
    return node;
  }

  // transformers' tag around what an assistant says. It only marks it.
  StatementPtr Generation(int line) {
    auto node = std::make_unique<ScopeStatement>();
    node->line = line;
    node->body = FunctionBody("endgeneration", node.get());
    return node;
  }

  StatementPtr LoopControl(const std::string& name, int line) {
    if (!in_loop_) FailAt(line, fmt::format("'{}' outside loop", name));
    auto node = std::make_unique<LoopControlStatement>();
    node->line = line;
    node->flow = name == "break" ? Flow::kBreak : Flow::kContinue;
    return node;
  }

  StatementPtr Print(int line, Body* body) {
    bool first = true;
    while (!Current().Is(Token::Type::kBlockEnd)) {
      if (!first) ExpectOperator(",");
      first = false;
      auto output = std::make_unique<OutputStatement>();
      output->value = Expr();
      SetHeight(*output, line, {output->value.get()});
      body->push_back(std::move(output));
    }
    return nullptr;
  }

  StatementPtr AutoEscape(int line) {
    auto node = std::make_unique<RefusedStatement>();
    node->message = "autoescape: escaping of all output is not supported";
    node->unless_false = Expr();
    SetHeight(*node, line, {node->unless_false.get()});
    node->body = ScopedBody("endautoescape", node.get());
    return node;
  }

  // A chat template has no other templates beside it. Like in Jinja that is an error where the tag
  // is reached.
  StatementPtr OtherTemplate(const std::string& name, int line) {
    auto node = std::make_unique<RefusedStatement>();
    node->line = line;
    node->message = fmt::format("{}: a chat template has no other templates to load", name);
    const ExpressionPtr other = Expr();
    while (!Current().Is(Token::Type::kBlockEnd)) {  // import ... as, with context and so on
      if (!Current().Is(Token::Type::kName) && !Current().IsOperator(",")) {
        FailHere(fmt::format("expected token 'name', got {}", Describe(Current())));
      }
      Next();
    }
    return node;
  }

  void CheckAssignable(const Token& name) const {
    static const std::unordered_set<std::string> reserved = {"true", "false", "none",
                                                             "True", "False", "None"};
    if (reserved.count(name.text) != 0) {
      FailAt(name.line, fmt::format("can't assign to '{}'", name.text));
    }
  }

  // Reads what can be assigned to. `ends_at`: a name that ends a tuple.
  Target ParseTarget(std::string_view ends_at, bool with_namespace, bool with_tuple = true) {
    const Nesting nesting(*this);
    const int line = Current().line;
    Target first = SingleTarget(with_namespace);
    if (!with_tuple || !Current().IsOperator(",")) return first;
    Target tuple;
    tuple.type = Target::Type::kTuple;
    tuple.line = line;
    tuple.parts.push_back(std::move(first));
    while (SkipOperator(",")) {
      // "=" ends a tuple's last comma only in Python, not in Jinja.
      if (IsTupleEnd(ends_at)) break;
      tuple.parts.push_back(SingleTarget(with_namespace));
    }
    for (const Target& part : tuple.parts) Raise(tuple, &part);
    return tuple;
  }

  Target SingleTarget(bool with_namespace) {
    Target target;
    target.line = Current().line;
    if (SkipOperator("(")) {
      if (Current().IsOperator(")")) {
        target.type = Target::Type::kTuple;
      } else {
        target = ParseTarget({}, false);
      }
      ExpectOperator(")");
      return target;
    }
    if (!Current().Is(Token::Type::kName)) {
      FailHere(fmt::format("can't assign to {}, want a name", Describe(Current())));
    }
    const Token& name = Next();
    CheckAssignable(name);
    target.id = IdOf(name.text);
    if (with_namespace && SkipOperator(".")) {
      target.type = Target::Type::kNamespaceAttribute;
      target.attribute = ExpectName().text;
      NoteLoad(name.text);
    } else {
      NoteStore(name.text);
    }
    return target;
  }

  bool in_loop_ = false;
  std::vector<std::vector<std::string_view>> end_tags_;
  std::unordered_set<std::string> blocks_;
};

}  // namespace

SyntaxTree Parse(std::string_view source) { return Parser(source).Run(); }

}  // namespace sinter::text::jinja

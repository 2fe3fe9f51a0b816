// Evaluates a syntax tree: variables and their scopes, output, loops, macros.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/object.h"
#include "text/jinja/runtime.h"

namespace sinter::text::jinja {

// Variables of a block. A name that it lacks is looked up in its parent, at last in the template's
// own variables. Scopes live as long as the runtime, because macros refer to them.
class Scope : public HeapItem {
 public:
  explicit Scope(Scope* parent) : parent_(parent) {}

  Scope* parent() const { return parent_; }
  const Value* Find(NameId id) const;
  void Set(NameId id, Value value);
  // Empties the scope for another round of a loop.
  void Clear() { variables_.clear(); }
  // Whether a macro refers to it, so that it must stay as it is.
  bool is_captured() const { return is_captured_; }
  void Capture();

 private:
  Scope* parent_;
  bool is_captured_ = false;
  std::vector<std::pair<NameId, Value>> variables_;
};

class Interpreter {
 public:
  // Both must outlive the interpreter.
  Interpreter(const SyntaxTree& tree, Runtime& runtime);

  Runtime& runtime() { return runtime_; }
  // Line of the template that is evaluated.
  int line() const { return line_; }

  // Sets a variable of the template. Names that the template does not use are ignored.
  void SetVariable(std::string_view name, Value value);
  // Renders the template.
  std::string Run();

  // For the nodes of the tree:

  Value Evaluate(const Expression& expression);
  Flow Execute(const Body& body);
  void Write(std::string_view text) { output_->Append(text); }
  // Writes str(value).
  void WriteValue(const Value& value);

  Value Lookup(NameId id) const;
  void Assign(const Target& target, const Value& value);
  void SetName(NameId id, Value value);
  const std::string& NameOf(NameId id) const { return tree_.names[static_cast<size_t>(id)]; }

  // Executes a body in a new scope.
  Flow ExecuteScoped(const Body& body);
  // Executes a body in a new scope and puts what it writes into *text.
  Flow Capture(const Body& body, std::string* text);
  // Evaluates the arguments of a call.
  Arguments EvaluateArguments(const ArgumentList& list);
  // Evaluates a filter whose innermost input is a block's text.
  Value EvaluateFilter(const Expression& filter, std::string text);
  const Value& block_text() const { return block_text_; }

  Flow ExecuteFor(const ForStatement& loop);
  // Runs a loop with another iterable, for loop(iterable). Returns what it writes.
  std::string Recurse(const ForStatement& loop, Scope* scope, const Value& iterable, int64_t depth);
  // Makes the object for a macro or the body of a call block.
  Value MakeMacro(std::string_view name, const Routine& routine);
  std::string CallRoutine(const Routine& routine, Scope* scope, std::string_view name,
                          Arguments& arguments);

  Scope* scope() const { return scope_; }
  // Makes another scope the current one for as long as this object lives.
  class ScopeSwitch {
   public:
    ScopeSwitch(Interpreter& interpreter, Scope* scope)
        : interpreter_(interpreter), old_(std::exchange(interpreter.scope_, scope)) {}
    ~ScopeSwitch() { interpreter_.scope_ = old_; }
    ScopeSwitch(const ScopeSwitch&) = delete;
    ScopeSwitch& operator=(const ScopeSwitch&) = delete;

   private:
    Interpreter& interpreter_;
    Scope* old_;
  };

 private:
  // Makes another text the output for as long as this object lives.
  class OutputSwitch {
   public:
    OutputSwitch(Interpreter& interpreter, TextBuilder* output)
        : interpreter_(interpreter), old_(std::exchange(interpreter.output_, output)) {}
    ~OutputSwitch() { interpreter_.output_ = old_; }
    OutputSwitch(const OutputSwitch&) = delete;
    OutputSwitch& operator=(const OutputSwitch&) = delete;

   private:
    Interpreter& interpreter_;
    TextBuilder* old_;
  };

  Flow RunLoop(const ForStatement& loop, const Value& iterable, int64_t depth);

  const SyntaxTree& tree_;
  Runtime& runtime_;
  int line_ = 1;
  // The template's own variables by NameId.
  std::vector<std::optional<Value>> variables_;
  Scope* scope_ = nullptr;  // null: the template's own
  TextBuilder* output_ = nullptr;
  Value block_text_;
};

}  // namespace sinter::text::jinja

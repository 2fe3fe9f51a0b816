#include "text/jinja/interpreter.h"

#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {

const Value* Scope::Find(NameId id) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent_) {
    for (const auto& [name, value] : scope->variables_) {
      if (name == id) return &value;
    }
  }
  return nullptr;
}

void Scope::Set(NameId id, Value value) {
  for (auto& [name, old] : variables_) {
    if (name == id) {
      old = std::move(value);
      return;
    }
  }
  variables_.emplace_back(id, std::move(value));
}

void Scope::Capture() {
  for (Scope* scope = this; scope != nullptr && !scope->is_captured_; scope = scope->parent_) {
    scope->is_captured_ = true;
  }
}

namespace {

// The variable `self`, by which templates that inherit call blocks.
class SelfObject : public Object {
 public:
  std::string_view TypeName() const override { return "jinja2.runtime.TemplateReference"; }
};

}  // namespace

Interpreter::Interpreter(const SyntaxTree& tree, Runtime& runtime)
    : tree_(tree), runtime_(runtime), variables_(tree.names.size()) {
  for (size_t i = 0; i < tree.names.size(); ++i) {
    if (tree.names[i] == "self") variables_[i] = Value::OfObject(runtime.New<SelfObject>());
    const Builtin function = FindFunction(tree.names[i]);
    if (function == nullptr) continue;
    variables_[i] = Value::OfObject(runtime.New<FunctionObject>(tree.names[i], function));
  }
}

void Interpreter::SetVariable(std::string_view name, Value value) {
  const auto found = std::ranges::find(tree_.names, name);
  if (found != tree_.names.end())
    variables_[static_cast<size_t>(found - tree_.names.begin())] = std::move(value);
}

std::string Interpreter::Run() {
  TextBuilder output(runtime_);
  const OutputSwitch to(*this, &output);
  Execute(tree_.body);
  return output.Take();
}

Value Interpreter::Evaluate(const Expression& expression) {
  const DepthScope depth(runtime_);
  runtime_.Spend();
  // The line stays with the innermost node that fails, and returns to the outer one otherwise.
  const int outer_line = std::exchange(line_, expression.line);
  Value value = expression.Evaluate(*this);
  line_ = outer_line;
  return value;
}

Flow Interpreter::Execute(const Body& body) {
  const DepthScope depth(runtime_);
  for (const StatementPtr& statement : body) {
    runtime_.Spend();
    const int outer_line = std::exchange(line_, statement->line);
    const Flow flow = statement->Execute(*this);
    line_ = outer_line;
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

void Interpreter::WriteValue(const Value& value) { AppendStr(runtime_, value, output_); }

Value Interpreter::Lookup(NameId id) const {
  if (scope_ != nullptr) {
    if (const Value* value = scope_->Find(id)) return *value;
  }
  const std::optional<Value>& value = variables_[static_cast<size_t>(id)];
  if (value) return *value;
  return Value::Undefined(fmt::format("'{}' is undefined", ShortText(NameOf(id))));
}

void Interpreter::SetName(NameId id, Value value) {
  if (scope_ != nullptr) {
    scope_->Set(id, std::move(value));
  } else {
    variables_[static_cast<size_t>(id)] = std::move(value);
  }
}

void Interpreter::Assign(const Target& target, const Value& value) {
  switch (target.type) {
    case Target::Type::kName:
      return SetName(target.id, value);
    case Target::Type::kNamespaceAttribute: {
      auto* object = Lookup(target.id).As<NamespaceObject>();
      if (object == nullptr) Fail("cannot assign attribute on non-namespace object");
      return object->Set(runtime_, target.attribute, value);
    }
    case Target::Type::kTuple:
      break;
  }
  const size_t wanted = target.parts.size();
  const std::vector<Value> items = ItemsOf(runtime_, value);
  if (items.size() > wanted) Fail("too many values to unpack (expected {})", wanted);
  if (items.size() < wanted) {
    Fail("not enough values to unpack (expected {}, got {})", wanted, items.size());
  }
  for (size_t i = 0; i < wanted; ++i) Assign(target.parts[i], items[i]);
}

Flow Interpreter::ExecuteScoped(const Body& body) {
  const ScopeSwitch inner(*this, runtime_.New<Scope>(scope_));
  return Execute(body);
}

Flow Interpreter::Capture(const Body& body, std::string* text) {
  TextBuilder output(runtime_);
  const OutputSwitch to(*this, &output);
  const Flow flow = ExecuteScoped(body);
  *text = output.Take();
  return flow;
}

Arguments Interpreter::EvaluateArguments(const ArgumentList& list) {
  Arguments arguments;
  for (const ExpressionPtr& argument : list.positional) {
    arguments.positional.push_back(Evaluate(*argument));
  }
  for (const auto& [name, argument] : list.keyword) {
    arguments.keyword.emplace_back(name, Evaluate(*argument));
  }
  if (list.star != nullptr) {
    for (const Value& item : ItemsOf(runtime_, Evaluate(*list.star))) {
      arguments.positional.push_back(item);
    }
  }
  if (list.star_star != nullptr) {
    const Value names = Evaluate(*list.star_star);
    RequireDefined(names);
    if (!names.IsDict()) Fail("argument after ** must be a mapping, not {}", TypeName(names));
    for (const auto& [key, value] : names.dict().entries()) {
      if (!key.IsString()) Fail("keywords must be strings");
      for (const auto& [other, unused] : arguments.keyword) {
        if (other == key.string()) {
          Fail("got multiple values for keyword argument '{}'", ShortText(other));
        }
      }
      arguments.keyword.emplace_back(key.string(), value);
    }
  }
  return arguments;
}

Value Interpreter::EvaluateFilter(const Expression& filter, std::string text) {
  Value outer = std::exchange(block_text_, Value::String(std::move(text)));
  Value result = Evaluate(filter);
  block_text_ = std::move(outer);
  return result;
}

}  // namespace sinter::text::jinja

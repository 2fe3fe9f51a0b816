// Execution of statements, except loops and macros (loop.cc, macro.cc).
#include "text/jinja/interpreter.h"
#include "text/jinja/operations.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {

Flow TextStatement::Execute(Interpreter& interpreter) const {
  interpreter.Write(text);
  return Flow::kNormal;
}

Flow OutputStatement::Execute(Interpreter& interpreter) const {
  interpreter.WriteValue(interpreter.Evaluate(*value));
  return Flow::kNormal;
}

Flow IfStatement::Execute(Interpreter& interpreter) const {
  for (const auto& [test, body] : branches) {
    if (Truth(interpreter.runtime(), interpreter.Evaluate(*test))) {
      return interpreter.Execute(body);
    }
  }
  return interpreter.Execute(otherwise);
}

Flow ForStatement::Execute(Interpreter& interpreter) const { return interpreter.ExecuteFor(*this); }

Flow FilterBlockStatement::Execute(Interpreter& interpreter) const {
  std::string text;
  const Flow flow = interpreter.Capture(body, &text);
  // A break leaves the block before its text is written.
  if (flow != Flow::kNormal) return flow;
  interpreter.WriteValue(interpreter.EvaluateFilter(*filter, std::move(text)));
  return Flow::kNormal;
}

Flow SetStatement::Execute(Interpreter& interpreter) const {
  interpreter.Assign(target, interpreter.Evaluate(*value));
  return Flow::kNormal;
}

Flow SetBlockStatement::Execute(Interpreter& interpreter) const {
  std::string text;
  const Flow flow = interpreter.Capture(body, &text);
  if (flow != Flow::kNormal) return flow;
  interpreter.Assign(target, filter != nullptr
                                 ? interpreter.EvaluateFilter(*filter, std::move(text))
                                 : Value::String(std::move(text)));
  return Flow::kNormal;
}

Flow ScopeStatement::Execute(Interpreter& interpreter) const {
  // The values are those of the outer scope.
  std::vector<Value> values;
  values.reserve(assignments.size());
  for (const auto& [target, value] : assignments) values.push_back(interpreter.Evaluate(*value));
  Scope* parent = from_root ? nullptr : interpreter.scope();
  const Interpreter::ScopeSwitch inner(interpreter, interpreter.runtime().New<Scope>(parent));
  for (size_t i = 0; i < values.size(); ++i) interpreter.Assign(assignments[i].first, values[i]);
  return interpreter.Execute(body);
}

Flow LoopControlStatement::Execute(Interpreter&) const { return flow; }

Flow RefusedStatement::Execute(Interpreter& interpreter) const {
  const bool refused =
      unless_false == nullptr || Truth(interpreter.runtime(), interpreter.Evaluate(*unless_false));
  if (refused) throw TemplateError(message);
  return interpreter.ExecuteScoped(body);
}

}  // namespace sinter::text::jinja

// Macros and the bodies of call blocks.
#include "text/jinja/interpreter.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

class MacroObject : public Object {
 public:
  MacroObject(Interpreter& interpreter, std::string_view name, const Routine& routine)
      : interpreter_(interpreter), name_(name), routine_(routine), scope_(interpreter.scope()) {}

  std::string_view TypeName() const override { return "jinja2.runtime.Macro"; }
  std::string Repr(Runtime&) override {
    return fmt::format("<Macro {}>", name_.empty() ? "anonymous" : ReprOfString(name_));
  }
  bool IsCallable() const override { return true; }
  Value Call(Runtime& runtime, Arguments& arguments) override {
    return runtime.NewString(interpreter_.CallRoutine(routine_, scope_, name_, arguments));
  }

  std::optional<Value> Attribute(Runtime& runtime, std::string_view name) override {
    if (name == "name") return name_.empty() ? Value::None() : Value::String(name_);
    if (name == "catch_kwargs") return Value::Bool(routine_.uses_kwargs);
    if (name == "catch_varargs") return Value::Bool(routine_.uses_varargs);
    if (name == "caller") return Value::Bool(routine_.uses_caller);
    if (name != "arguments") return std::nullopt;
    std::vector<Value> names;
    for (const auto& parameter : routine_.parameters)
      names.push_back(Value::String(parameter.name));
    return runtime.NewTuple(std::move(names));
  }

 private:
  Interpreter& interpreter_;
  std::string name_;
  const Routine& routine_;
  Scope* scope_;  // that the macro is defined in
};

}  // namespace

Value Interpreter::MakeMacro(std::string_view name, const Routine& routine) {
  if (scope_ != nullptr) scope_->Capture();
  return Value::OfObject(runtime_.New<MacroObject>(*this, name, routine));
}

std::string Interpreter::CallRoutine(const Routine& routine, Scope* scope, std::string_view name,
                                     Arguments& arguments) {
  const int outer_line = line_;
  const std::string quoted = name.empty() ? "None" : ShortRepr(name);
  TextBuilder output(runtime_);
  {
    const OutputSwitch to(*this, &output);
    Scope* own = runtime_.New<Scope>(scope);
    const ScopeSwitch inner(*this, own);

    // Parameters that have neither an argument nor a default are undefined.
    const size_t count = routine.parameters.size();
    std::vector<std::optional<Value>> values(count);
    bool has_caller = false;
    for (size_t i = 0; i < count; ++i) {
      if (i < arguments.positional.size()) {
        values[i] = arguments.positional[i];
      } else {
        values[i] = arguments.TakeKeyword(routine.parameters[i].name);
      }
      has_caller = has_caller || routine.parameters[i].name == "caller";
    }
    if (routine.uses_caller && !has_caller) {
      const std::optional<Value> caller = arguments.TakeKeyword("caller");
      own->Set(tree_.caller_name,
               caller && !caller->IsNone() ? *caller : Value::Undefined("No caller defined"));
    }
    if (routine.uses_kwargs) {
      Dict* rest = runtime_.NewDict();
      for (const auto& [key, value] : arguments.keyword) {
        rest->Set(runtime_, Value::String(key), value);
      }
      own->Set(tree_.kwargs_name, Value::OfDict(rest));
    } else if (!arguments.keyword.empty()) {
      Fail("macro {} takes no keyword argument '{}'", quoted,
           ShortText(arguments.keyword.front().first));
    }
    if (routine.uses_varargs) {
      std::vector<Value> rest;
      for (size_t i = count; i < arguments.positional.size(); ++i) {
        rest.push_back(arguments.positional[i]);
      }
      own->Set(tree_.varargs_name, runtime_.NewTuple(std::move(rest)));
    } else if (arguments.positional.size() > count) {
      Fail("macro {} takes not more than {} argument(s)", quoted, count);
    }
    for (size_t i = 0; i < count; ++i) {
      const Routine::Parameter& parameter = routine.parameters[i];
      if (!values[i]) {
        values[i] = parameter.fallback != nullptr
                        ? Evaluate(*parameter.fallback)
                        : Value::Undefined(fmt::format("parameter '{}' was not provided",
                                                       ShortText(parameter.name)));
      }
      own->Set(parameter.id, *values[i]);
    }
    Execute(routine.body);
  }
  line_ = outer_line;
  return output.Take();
}

Flow MacroStatement::Execute(Interpreter& interpreter) const {
  interpreter.SetName(id, interpreter.MakeMacro(name, routine));
  return Flow::kNormal;
}

Flow CallBlockStatement::Execute(Interpreter& interpreter) const {
  const Value caller = interpreter.MakeMacro("", routine);
  interpreter.WriteValue(call->Call(interpreter, &caller));
  return Flow::kNormal;
}

}  // namespace sinter::text::jinja

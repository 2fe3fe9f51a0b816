// For loops and the variable `loop`.
#include "text/jinja/interpreter.h"
#include "text/jinja/operations.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

// Items of a loop that its `if` lets through.
class FilteredIterator : public Iterator {
 public:
  FilteredIterator(Interpreter& interpreter, const ForStatement& loop, const Value& iterable)
      : interpreter_(interpreter),
        loop_(loop),
        scope_(interpreter.scope()),
        items_(Iterate(iterable)) {}

  bool Next(Runtime& runtime, Value* item) override {
    while (items_->Next(runtime, item)) {
      const Interpreter::ScopeSwitch inner(interpreter_, runtime.New<Scope>(scope_));
      interpreter_.Assign(loop_.target, *item);
      if (Truth(runtime, interpreter_.Evaluate(*loop_.test))) return true;
    }
    return false;
  }

 private:
  Interpreter& interpreter_;
  const ForStatement& loop_;
  Scope* scope_;
  std::unique_ptr<Iterator> items_;
};

class LoopObject;

// Items that a loop has left.
class RestIterator : public Iterator {
 public:
  explicit RestIterator(LoopObject& loop) : loop_(loop) {}
  bool Next(Runtime& runtime, Value* item) override;

 private:
  LoopObject& loop_;
};

// The variable `loop`. It reads one item ahead only where the template asks for it.
class LoopObject : public Object {
 public:
  LoopObject(Interpreter& interpreter, const ForStatement& loop, const Value& iterable,
             int64_t depth)
      : interpreter_(interpreter), loop_(loop), scope_(interpreter.scope()), depth_(depth) {
    if (loop.test != nullptr) {
      items_ = std::make_unique<FilteredIterator>(interpreter, loop, iterable);
    } else {
      items_ = jinja::Iterate(iterable);
      length_ = jinja::Length(interpreter.runtime(), iterable);
    }
  }

  // Goes on to the next item; returns false at the end.
  bool Advance(Runtime& runtime, Value* item) {
    if (after_) {
      *item = *std::exchange(after_, std::nullopt);
    } else if (!NextItem(runtime, item)) {
      return false;
    }
    ++index_;
    before_ = std::exchange(current_, *item);
    return true;
  }

  std::string_view TypeName() const override { return "jinja2.runtime.LoopContext"; }
  std::string Repr(Runtime& runtime) override {
    return fmt::format("<LoopContext {}/{}>", index_ + 1, CountItems(runtime));
  }
  // Going through `loop` takes the items that are left, each with the loop.
  std::unique_ptr<Iterator> Iterate() override { return std::make_unique<RestIterator>(*this); }
  std::optional<int64_t> Length(Runtime& runtime) override { return CountItems(runtime); }
  bool Truth(Runtime& runtime) override { return CountItems(runtime) != 0; }
  bool IsCallable() const override { return true; }

  Value Call(Runtime& runtime, Arguments& arguments) override {
    const Bound bound("loop", arguments, {"iterable"}, 1);
    if (!loop_.recursive) {
      Fail("The loop must have the 'recursive' marker to be called recursively.");
    }
    return runtime.NewString(interpreter_.Recurse(loop_, scope_, *bound[0], depth_ + 1));
  }

  std::optional<Value> Attribute(Runtime& runtime, std::string_view name) override {
    if (name == "index") return Value::Int(index_ + 1);
    if (name == "index0") return Value::Int(index_);
    if (name == "first") return Value::Bool(index_ == 0);
    if (name == "last") return Value::Bool(!Peek(runtime));
    if (name == "length") return Value::Int(CountItems(runtime));
    if (name == "revindex") return Value::Int(CountItems(runtime) - index_);
    if (name == "revindex0") return Value::Int(CountItems(runtime) - index_ - 1);
    if (name == "depth") return Value::Int(depth_ + 1);
    if (name == "depth0") return Value::Int(depth_);
    if (name == "previtem") {
      return index_ == 0 ? Value::Undefined("there is no previous item") : before_;
    }
    if (name == "nextitem") {
      return Peek(runtime) ? *after_ : Value::Undefined("there is no next item");
    }
    const Value self = Value::OfObject(this);
    if (name == "cycle") return Value::OfObject(runtime.New<FunctionObject>(name, Cycle, self));
    if (name == "changed") return Value::OfObject(runtime.New<FunctionObject>(name, Changed, self));
    return std::nullopt;
  }

 private:
  bool NextItem(Runtime& runtime, Value* item) {
    if (ahead_at_ < ahead_.size()) {
      *item = ahead_[ahead_at_++];
      return true;
    }
    return items_->Next(runtime, item);
  }

  bool Peek(Runtime& runtime) {
    Value item;
    if (!after_ && NextItem(runtime, &item)) after_ = item;
    return after_.has_value();
  }

  // The number of all items; those of a generator are read for it.
  int64_t CountItems(Runtime& runtime) {
    if (!length_) {
      Value item;
      while (items_->Next(runtime, &item)) {
        runtime.CountHeap(sizeof(Value));
        ahead_.push_back(item);
      }
      length_ = static_cast<int64_t>(ahead_.size()) + index_ + 1 + (after_ ? 1 : 0);
    }
    return *length_;
  }

  static Value Cycle(Runtime&, const Value& self, Arguments& arguments) {
    if (arguments.positional.empty()) Fail("no items for cycling given");
    const auto* loop = self.As<LoopObject>();
    return arguments.positional[static_cast<size_t>(loop->index_) % arguments.positional.size()];
  }

  static Value Changed(Runtime& runtime, const Value& self, Arguments& arguments) {
    auto* loop = self.As<LoopObject>();
    const Value values = runtime.NewTuple(arguments.positional);
    const bool changed = !loop->last_values_ || !Equal(runtime, *loop->last_values_, values);
    loop->last_values_ = values;
    return Value::Bool(changed);
  }

  Interpreter& interpreter_;
  const ForStatement& loop_;
  Scope* scope_;  // that the loop stands in
  int64_t depth_;
  std::unique_ptr<Iterator> items_;
  std::vector<Value> ahead_;  // read for the length
  size_t ahead_at_ = 0;
  int64_t index_ = -1;
  std::optional<int64_t> length_;
  std::optional<Value> after_;
  Value current_, before_;
  std::optional<Value> last_values_;
};

bool RestIterator::Next(Runtime& runtime, Value* item) {
  if (!loop_.Advance(runtime, item)) return false;
  *item = runtime.NewTuple({*item, Value::OfObject(&loop_)});
  return true;
}

}  // namespace

Flow Interpreter::ExecuteFor(const ForStatement& loop) {
  return RunLoop(loop, Evaluate(*loop.iterable), 0);
}

std::string Interpreter::Recurse(const ForStatement& loop, Scope* scope, const Value& iterable,
                                 int64_t depth) {
  const DepthScope nesting(runtime_);
  const int outer_line = line_;
  TextBuilder output(runtime_);
  {
    const OutputSwitch to(*this, &output);
    const ScopeSwitch in(*this, scope);
    RunLoop(loop, iterable, depth);
  }
  line_ = outer_line;
  return output.Take();
}

Flow Interpreter::RunLoop(const ForStatement& loop, const Value& iterable, int64_t depth) {
  const NameId loop_name = tree_.loop_name;
  auto* object = runtime_.New<LoopObject>(*this, loop, iterable, depth);
  Scope* scope = runtime_.New<Scope>(scope_);
  // As in Jinja `else` follows where no round came to its end.
  bool any_complete = false;
  Value item;
  while (object->Advance(runtime_, &item)) {
    runtime_.Spend();
    if (scope->is_captured()) scope = runtime_.New<Scope>(scope_);
    scope->Clear();
    const ScopeSwitch inner(*this, scope);
    Assign(loop.target, item);
    if (loop_name >= 0) SetName(loop_name, Value::OfObject(object));
    const Flow flow = Execute(loop.body);
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNormal) any_complete = true;
  }
  if (any_complete || loop.otherwise.empty()) return Flow::kNormal;
  return ExecuteScoped(loop.otherwise);
}

}  // namespace sinter::text::jinja

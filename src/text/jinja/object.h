// Objects with behaviour of their own: ranges, generators, views of dicts, functions, namespaces.
// The interpreter adds macros and loops.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace sinter::text::jinja {

// Arguments of a call, in the order in which they are given.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;

  // Removes and returns a keyword argument, or returns nullopt.
  std::optional<Value> TakeKeyword(std::string_view name);
};

// A filter, a test, a method or a function. `self` is what it is applied to; None for functions.
using Builtin = Value (*)(Runtime& runtime, const Value& self, Arguments& arguments);

// Arguments bound to the parameters of a builtin, as Python binds them.
class Bound {
 public:
  // Binds to `names`, of which the first `required` must be given. A name that begins with '/' is
  // that of a parameter without a keyword. Throws TemplateError if the arguments do not fit.
  Bound(std::string_view function, Arguments& arguments,
        std::initializer_list<std::string_view> names, size_t required = 0);

  // Returns the argument, or null if it is not given.
  const Value* operator[](size_t index) const {
    return values_[index] ? &*values_[index] : nullptr;
  }
  // The accessors below return `fallback` for an argument that is not given. They throw
  // TemplateError for one of another type.
  int64_t IntOr(size_t index, int64_t fallback) const;
  // None counts as not given.
  std::optional<std::string> StringOrNone(size_t index) const;
  std::string String(size_t index) const;  // of an argument that must be given

 private:
  std::string_view NameOf(size_t index) const;

  std::string_view function_;
  std::vector<std::string_view> names_;
  std::vector<std::optional<Value>> values_;
};

// Goes through the items of a value once.
class Iterator {
 public:
  virtual ~Iterator() = default;
  // Sets *item and returns true, or returns false at the end.
  virtual bool Next(Runtime& runtime, Value* item) = 0;
};

class Object : public HeapItem {
 public:
  // Name of the type in error messages, as Python gives it.
  virtual std::string_view TypeName() const = 0;
  virtual std::string Repr(Runtime& runtime);
  virtual bool Truth(Runtime& runtime);
  // The number of items, or nullopt for an object without len().
  virtual std::optional<int64_t> Length(Runtime& runtime);
  // Returns an iterator, or null for an object that is not iterable. It must not outlive the
  // object.
  virtual std::unique_ptr<Iterator> Iterate();
  // Returns object.name, or nullopt.
  virtual std::optional<Value> Attribute(Runtime& runtime, std::string_view name);
  // Returns object[index], or nullopt.
  virtual std::optional<Value> Item(Runtime& runtime, const Value& index);
  virtual bool IsCallable() const { return false; }
  virtual Value Call(Runtime& runtime, Arguments& arguments);
  virtual bool Equals(Runtime& runtime, const Value& other) const;
};

// range(start, stop, step)
class RangeObject : public Object {
 public:
  RangeObject(int64_t start, int64_t stop, int64_t step);

  std::string_view TypeName() const override { return "range"; }
  std::string Repr(Runtime& runtime) override;
  bool Truth(Runtime&) override { return length_ != 0; }
  std::optional<int64_t> Length(Runtime&) override { return length_; }
  std::unique_ptr<Iterator> Iterate() override;
  std::optional<Value> Item(Runtime& runtime, const Value& index) override;
  bool Equals(Runtime& runtime, const Value& other) const override;

  int64_t length() const { return length_; }
  int64_t At(int64_t index) const { return start_ + index * step_; }
  int64_t step() const { return step_; }

 private:
  int64_t start_, stop_, step_, length_;
};

// Python's generators and iterators: always true, without a length, and to be gone through once.
class GeneratorObject : public Object {
 public:
  GeneratorObject(std::string_view type_name, std::unique_ptr<Iterator> source)
      : type_name_(type_name), source_(std::move(source)) {}

  std::string_view TypeName() const override { return type_name_; }
  std::unique_ptr<Iterator> Iterate() override;
  bool Next(Runtime& runtime, Value* item);

 private:
  std::string_view type_name_;
  std::unique_ptr<Iterator> source_;
};

// dict.keys(), dict.values(), dict.items()
class DictView : public Object {
 public:
  enum class Part { kKeys, kValues, kItems };
  DictView(const Dict& dict, Part part) : dict_(dict), part_(part) {}

  std::string_view TypeName() const override;
  std::string Repr(Runtime& runtime) override;
  bool Truth(Runtime&) override { return dict_.size() != 0; }
  std::optional<int64_t> Length(Runtime&) override { return dict_.size(); }
  std::unique_ptr<Iterator> Iterate() override;

  Value At(Runtime& runtime, size_t index) const;
  size_t size() const { return dict_.size(); }

 private:
  const Dict& dict_;
  Part part_;
};

// A global function, or a method of a value.
class FunctionObject : public Object {
 public:
  FunctionObject(std::string_view name, Builtin function, Value self = Value::None())
      : name_(name), function_(function), self_(std::move(self)) {}

  std::string_view TypeName() const override { return "builtin_function_or_method"; }
  std::string Repr(Runtime& runtime) override;
  bool IsCallable() const override { return true; }
  Value Call(Runtime& runtime, Arguments& arguments) override;

 private:
  std::string name_;
  Builtin function_;
  Value self_;
};

// namespace(): the one object whose attributes a template can set.
class NamespaceObject : public Object {
 public:
  explicit NamespaceObject(Dict* attributes) : attributes_(attributes) {}

  std::string_view TypeName() const override { return "jinja2.utils.Namespace"; }
  std::string Repr(Runtime& runtime) override;
  std::optional<Value> Attribute(Runtime& runtime, std::string_view name) override;
  void Set(Runtime& runtime, const std::string& name, Value value);

 private:
  Dict* attributes_;
};

// cycler(*items)
class CyclerObject : public Object {
 public:
  explicit CyclerObject(std::vector<Value> items) : items_(std::move(items)) {}

  std::string_view TypeName() const override { return "jinja2.utils.Cycler"; }
  std::optional<Value> Attribute(Runtime& runtime, std::string_view name) override;
  Value Next();
  void Reset() { position_ = 0; }

 private:
  std::vector<Value> items_;
  size_t position_ = 0;
};

// joiner(separator)
class JoinerObject : public Object {
 public:
  explicit JoinerObject(Value separator) : separator_(std::move(separator)) {}

  std::string_view TypeName() const override { return "jinja2.utils.Joiner"; }
  std::optional<Value> Attribute(Runtime& runtime, std::string_view name) override;
  bool IsCallable() const override { return true; }
  Value Call(Runtime& runtime, Arguments& arguments) override;

 private:
  Value separator_;
  bool used_ = false;
};

}  // namespace sinter::text::jinja

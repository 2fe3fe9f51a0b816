// Values of the template language: Python's None, bool, int, float, str, list, tuple and dict,
// Jinja's Undefined, and objects with behaviour of their own (object.h).
//
// An integer beyond 64 bits is kept as its digits: it can be printed and compared, and arithmetic
// with it is an error.
//
// Values are immutable. Lists, tuples, dicts and objects live until the end of the rendering (they
// belong to its Runtime), so that cycles and deep nesting cost nothing to free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sinter::text::jinja {

class Runtime;
class Dict;
class Object;
struct Sequence;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kBigInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kObject,
};

// Valid UTF-8 and the number of its code points.
struct Text {
  explicit Text(std::string utf8);

  bool IsAscii() const { return length == utf8.size(); }

  std::string utf8;
  size_t length;
};

class Value {
 public:
  // An undefined value; `message` is the text of the error that using it raises.
  static Value Undefined(std::string message);
  static Value None() { return Value(Kind::kNone); }
  static Value Bool(bool value);
  static Value Int(int64_t value);
  // `digits`: an optional '-' and digits without leading zeros, beyond 64 bits.
  static Value BigInt(std::string digits);
  static Value Float(double value);
  static Value String(std::string utf8);
  // A string that counts as escaped HTML (markupsafe.Markup).
  static Value Markup(std::string utf8);
  static Value List(Sequence* items) { return Value(Kind::kList, items); }
  static Value Tuple(Sequence* items) { return Value(Kind::kTuple, items); }
  static Value OfDict(Dict* dict);
  static Value OfObject(Object* object);

  Value() : Value(Kind::kNone) {}

  Kind kind() const { return kind_; }
  bool IsUndefined() const { return kind_ == Kind::kUndefined; }
  bool IsNone() const { return kind_ == Kind::kNone; }
  bool IsBool() const { return kind_ == Kind::kBool; }
  bool IsString() const { return kind_ == Kind::kString; }
  bool IsMarkup() const { return markup_; }
  bool IsSequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }
  bool IsDict() const { return kind_ == Kind::kDict; }
  bool IsBigInt() const { return kind_ == Kind::kBigInt; }
  // Whether it is an int of 64 bits or a bool, which is an int in Python.
  bool IsIntegral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool IsNumber() const { return IsIntegral() || kind_ == Kind::kFloat; }

  // The accessors below want a value of the right kind.
  bool boolean() const { return integer_ != 0; }
  int64_t integer() const { return integer_; }  // of a bool, too
  double floating() const { return kind_ == Kind::kFloat ? float_ : static_cast<double>(integer_); }
  const std::string& string() const {
    return text_->utf8;
  }  // of a string or big int; an Undefined's message
  const Text& text() const { return *text_; }
  const std::shared_ptr<const Text>& shared_text() const { return text_; }
  const std::vector<Value>& items() const;  // of a list or tuple
  const Dict& dict() const { return *dict_; }
  Object& object() const { return *object_; }
  template <typename T>
  T* As() const {  // the object as a T, or null
    return kind_ == Kind::kObject ? dynamic_cast<T*>(object_) : nullptr;
  }

  // Whether both are one and the same object (Python's `is`); equal numbers and strings are.
  bool IsSame(const Value& other) const;

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  Value(Kind kind, Sequence* items) : kind_(kind), items_(items) {}

  Kind kind_;
  bool markup_ = false;
  union {
    int64_t integer_ = 0;
    double float_;
    Sequence* items_;
    Dict* dict_;
    Object* object_;
  };
  std::shared_ptr<const Text> text_;
};

// What a Runtime owns until a rendering ends.
class HeapItem {
 public:
  HeapItem() = default;
  HeapItem(const HeapItem&) = delete;
  HeapItem& operator=(const HeapItem&) = delete;
  virtual ~HeapItem() = default;
};

// Items of a list or a tuple.
struct Sequence : HeapItem {
  explicit Sequence(std::vector<Value> values) : items(std::move(values)) {}
  std::vector<Value> items;
};

inline const std::vector<Value>& Value::items() const { return items_->items; }

// Dictionary in the order of insertion. Keys are equal as in Python: 1, 1.0 and True are one key.
class Dict : public HeapItem {
 public:
  using Entry = std::pair<Value, Value>;

  // Returns the value of a key, or null. Throws TemplateError if the key is not hashable.
  const Value* Find(Runtime& runtime, const Value& key) const;
  const Value* Find(std::string_view key) const;
  // Adds an entry, or gives an existing key another value. Throws TemplateError if the key is not
  // hashable.
  void Set(Runtime& runtime, const Value& key, Value value);

  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }

 private:
  // Up to this size a search compares all keys' hashes; above, there is an index.
  static constexpr size_t kLinear = 8;

  template <typename Equal>
  const Entry* Search(size_t hash, Equal equal) const;

  std::vector<Entry> entries_;
  std::vector<size_t> hashes_;
  std::unordered_multimap<size_t, size_t> index_;
};

}  // namespace sinter::text::jinja

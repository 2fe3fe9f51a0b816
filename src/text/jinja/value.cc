#include "text/jinja/value.h"

#include <algorithm>

#include "text/jinja/operations.h"
#include "text/jinja/runtime.h"

namespace sinter::text::jinja {
namespace {

size_t CountCodePoints(std::string_view utf8) {
  return static_cast<size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

size_t HashOfString(std::string_view text) { return std::hash<std::string_view>()(text); }

}  // namespace

Text::Text(std::string text) : utf8(std::move(text)), length(CountCodePoints(utf8)) {}

Value Value::Undefined(std::string message) {
  Value value(Kind::kUndefined);
  value.text_ = std::make_shared<const Text>(std::move(message));
  return value;
}

Value Value::Bool(bool boolean) {
  Value value(Kind::kBool);
  value.integer_ = boolean ? 1 : 0;
  return value;
}

Value Value::Int(int64_t integer) {
  Value value(Kind::kInt);
  value.integer_ = integer;
  return value;
}

Value Value::BigInt(std::string digits) {
  Value value = String(std::move(digits));
  value.kind_ = Kind::kBigInt;
  return value;
}

Value Value::Float(double number) {
  Value value(Kind::kFloat);
  value.float_ = number;
  return value;
}

Value Value::String(std::string utf8) {
  Value value(Kind::kString);
  value.text_ = std::make_shared<const Text>(std::move(utf8));
  return value;
}

Value Value::Markup(std::string utf8) {
  Value value = String(std::move(utf8));
  value.markup_ = true;
  return value;
}

Value Value::OfDict(Dict* dict) {
  Value value(Kind::kDict);
  value.dict_ = dict;
  return value;
}

Value Value::OfObject(Object* object) {
  Value value(Kind::kObject);
  value.object_ = object;
  return value;
}

bool Value::IsSame(const Value& other) const {
  if (kind_ != other.kind_) return false;
  switch (kind_) {
    case Kind::kUndefined:
      return text_ == other.text_;
    case Kind::kNone:
      return true;
    case Kind::kBool:
    case Kind::kInt:
      return integer_ == other.integer_;
    case Kind::kFloat:
      return float_ == other.float_;
    case Kind::kBigInt:
    case Kind::kString:
      return string() == other.string();
    case Kind::kList:
    case Kind::kTuple:
      return items_ == other.items_;
    case Kind::kDict:
      return dict_ == other.dict_;
    case Kind::kObject:
      return object_ == other.object_;
  }
  return false;
}

template <typename Equal>
const Dict::Entry* Dict::Search(size_t hash, Equal equal) const {
  if (entries_.size() <= kLinear) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (hashes_[i] == hash && equal(entries_[i].first)) return &entries_[i];
    }
    return nullptr;
  }
  const auto [begin, end] = index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (equal(entries_[it->second].first)) return &entries_[it->second];
  }
  return nullptr;
}

const Value* Dict::Find(Runtime& runtime, const Value& key) const {
  const Entry* entry =
      Search(Hash(runtime, key), [&](const Value& other) { return Equal(runtime, other, key); });
  return entry != nullptr ? &entry->second : nullptr;
}

const Value* Dict::Find(std::string_view key) const {
  const Entry* entry = Search(HashOfString(key), [&](const Value& other) {
    return other.IsString() && other.string() == key;
  });
  return entry != nullptr ? &entry->second : nullptr;
}

void Dict::Set(Runtime& runtime, const Value& key, Value value) {
  const size_t hash = Hash(runtime, key);
  const Entry* found = Search(hash, [&](const Value& other) { return Equal(runtime, other, key); });
  if (found != nullptr) {
    entries_[static_cast<size_t>(found - entries_.data())].second = std::move(value);
    return;
  }
  runtime.CountHeap(sizeof(Entry) + (key.IsString() ? key.string().size() : 0) +
                    (value.IsString() ? value.string().size() : 0));
  entries_.emplace_back(key, std::move(value));
  hashes_.push_back(hash);
  if (entries_.size() <= kLinear) return;
  if (index_.empty()) {
    for (size_t i = 0; i < hashes_.size(); ++i) index_.emplace(hashes_[i], i);
  } else {
    index_.emplace(hash, hashes_.size() - 1);
  }
}

}  // namespace sinter::text::jinja

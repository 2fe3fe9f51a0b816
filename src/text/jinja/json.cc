#include "text/jinja/json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

// Builds values from the events of nlohmann's parser, which does not recurse.
class ValueBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit ValueBuilder(Runtime& runtime) : runtime_(runtime) {}

  Value Take() { return std::move(result_); }

  bool null() override { return Add(Value::None()); }
  bool boolean(bool value) override { return Add(Value::Bool(value)); }
  bool number_integer(number_integer_t value) override { return Add(Value::Int(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) return Add(Value::BigInt(std::to_string(value)));
    return Add(Value::Int(static_cast<int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == std::string::npos) return Add(runtime_.NewBigInt(text));
    return Add(Value::Float(value));
  }
  bool string(string_t& value) override { return Add(runtime_.NewString(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(runtime_.NewDict()); }
  bool key(string_t& value) override {
    open_.back().key = Value::String(std::move(value));
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override { return Open(nullptr); }
  bool end_array() override { return Close(); }
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& error) override {
    Fail("got no valid JSON: {}", SanitizeUtf8(std::string_view(error.what()).substr(0, 200)));
  }

 private:
  static constexpr size_t kMaxDepth = 200;

  // A list or dict that is not complete yet.
  struct Level {
    Dict* dict;  // null for a list
    std::vector<Value> items;
    Value key;
  };

  bool Open(Dict* dict) {
    if (open_.size() >= kMaxDepth) Fail("got JSON nested deeper than {} levels", kMaxDepth);
    open_.push_back({dict, {}, {}});
    return true;
  }

  bool Close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    return Add(level.dict != nullptr ? Value::OfDict(level.dict)
                                     : runtime_.NewList(std::move(level.items)));
  }

  bool Add(Value value) {
    if (open_.empty()) {
      result_ = std::move(value);
    } else if (Level& level = open_.back(); level.dict != nullptr) {
      level.dict->Set(runtime_, level.key, std::move(value));
    } else {
      level.items.push_back(std::move(value));
    }
    return true;
  }

  Runtime& runtime_;
  std::vector<Level> open_;
  Value result_;
};

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style)
      : runtime_(runtime),
        style_(style),
        item_separator_(style.item_separator.value_or(style.indent ? "," : ", ")),
        out_(runtime) {}

  std::string Run(const Value& value) {
    Write(value, 0);
    return out_.Take();
  }

 private:
  void Write(const Value& value, size_t level) {
    const DepthScope depth(runtime_);
    switch (value.kind()) {
      case Kind::kNone:
        return out_.Append("null");
      case Kind::kBool:
        return out_.Append(value.boolean() ? "true" : "false");
      case Kind::kInt:
        return out_.Append(std::to_string(value.integer()));
      case Kind::kBigInt:
        return out_.Append(value.string());
      case Kind::kFloat:
        return out_.Append(NumberText(value.floating()));
      case Kind::kString:
        return WriteString(value.string());
      case Kind::kList:
      case Kind::kTuple:
        return WriteList(value.items(), level);
      case Kind::kDict:
        return WriteDict(value.dict(), level);
      case Kind::kUndefined:
      case Kind::kObject:
        break;
    }
    Fail("Object of type {} is not JSON serializable", TypeName(value));
  }

  static std::string NumberText(double number) {
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
    return ReprOfFloat(number);
  }

  void BreakLine(size_t level) {
    if (!style_.indent) return;
    out_.Append("\n");
    out_.Append(level, *style_.indent);
  }

  void WriteList(const std::vector<Value>& items, size_t level) {
    if (items.empty()) return out_.Append("[]");
    out_.Append("[");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i != 0) out_.Append(item_separator_);
      BreakLine(level + 1);
      Write(items[i], level + 1);
    }
    BreakLine(level);
    out_.Append("]");
  }

  void WriteDict(const Dict& dict, size_t level) {
    if (dict.size() == 0) return out_.Append("{}");
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
        return Ordered(runtime_, "<", a->first, b->first);
      });
    }
    out_.Append("{");
    bool first = true;
    for (const Dict::Entry* entry : entries) {
      if (!first) out_.Append(item_separator_);
      first = false;
      BreakLine(level + 1);
      WriteString(KeyText(entry->first));
      out_.Append(style_.key_separator);
      Write(entry->second, level + 1);
    }
    BreakLine(level);
    out_.Append("}");
  }

  static std::string KeyText(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return key.string();
      case Kind::kNone:
        return "null";
      case Kind::kBool:
        return key.boolean() ? "true" : "false";
      case Kind::kInt:
        return std::to_string(key.integer());
      case Kind::kBigInt:
        return key.string();
      case Kind::kFloat:
        return NumberText(key.floating());
      default:
        Fail("keys must be str, int, float, bool or None, not {}", TypeName(key));
    }
  }

  void WriteString(std::string_view text) {
    out_.Append("\"");
    size_t plain = 0;  // start of what needs no escape
    for (size_t pos = 0; pos < text.size();) {
      const size_t begin = pos;
      const char32_t c = NextCodePoint(text, &pos);
      const std::string escape = EscapeOf(c);
      if (escape.empty()) continue;
      out_.Append(text.substr(plain, begin - plain));
      out_.Append(escape);
      plain = pos;
    }
    out_.Append(text.substr(plain));
    out_.Append("\"");
  }

  std::string EscapeOf(char32_t c) const {
    switch (c) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      case '\f':
        return "\\f";
      case '\b':
        return "\\b";
      default:
        break;
    }
    const auto code = static_cast<uint32_t>(c);
    if (code >= 0x20 && (code < 0x7F || !style_.ascii)) return "";
    if (code == 0x7F) return "";
    if (code < 0x10000) return fmt::format("\\u{:04x}", code);
    return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                       0xDC00 + (code & 0x3FF));
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string item_separator_;
  TextBuilder out_;
};

}  // namespace

Value ParseJson(Runtime& runtime, std::string_view json) {
  ValueBuilder builder(runtime);
  nlohmann::json::sax_parse(json, &builder);
  return builder.Take();
}

std::string DumpJson(Runtime& runtime, const Value& value, const JsonStyle& style) {
  return JsonWriter(runtime, style).Run(value);
}

}  // namespace sinter::text::jinja

// The two languages of format strings: "%s" % values and "{}".format(values).
#include <cmath>

#include "text/jinja/code_points.h"
#include "text/jinja/format.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

// Interprets one "%"-format.
class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& values)
      : runtime_(runtime),
        format_(format.string()),
        markup_(format.IsMarkup()),
        values_(values),
        out_(runtime) {}

  std::string Run() {
    while (at_ < format_.size()) {
      const size_t percent = std::min(format_.find('%', at_), format_.size());
      out_.Append(format_.substr(at_, percent - at_));
      at_ = percent;
      if (at_ < format_.size()) {
        ++at_;
        Conversion();
      }
    }
    const bool all_used =
        values_.kind() == Kind::kTuple ? used_ >= values_.items().size() : used_ > 0 || IsMapping();
    if (!all_used) Fail("not all arguments converted during string formatting");
    return out_.Take();
  }

 private:
  // Python takes whatever has __getitem__ for a mapping, and lets it be unused.
  bool IsMapping() const {
    return values_.IsDict() || values_.kind() == Kind::kList || values_.IsUndefined() ||
           values_.As<RangeObject>() != nullptr;
  }

  char Next() {
    if (at_ >= format_.size()) Fail("incomplete format");
    return format_[at_++];
  }

  Value NextValue() {
    if (values_.kind() != Kind::kTuple) {
      if (used_++ > 0) Fail("not enough arguments for format string");
      return values_;
    }
    if (used_ >= values_.items().size()) Fail("not enough arguments for format string");
    return values_.items()[used_++];
  }

  int64_t Number(char* c) {
    if (*c == '*') {
      const Value value = NextValue();
      if (!value.IsIntegral()) Fail("* wants int");
      *c = Next();
      return std::clamp<int64_t>(value.integer(), -1'000'000, 1'000'000);
    }
    int64_t number = 0;
    for (; *c >= '0' && *c <= '9'; *c = Next()) {
      number = number * 10 + (*c - '0');
      if (number > 1'000'000) Fail("format width or precision too big: want at most 1000000");
    }
    return number;
  }

  std::optional<Value> NamedValue(char* c) {
    if (*c != '(') return std::nullopt;
    if (!values_.IsDict()) Fail("format requires a mapping");
    const size_t begin = at_;
    for (int open = 1; open > 0;) {
      if (at_ >= format_.size()) Fail("incomplete format key");
      const char next = format_[at_++];
      open += next == '(' ? 1 : next == ')' ? -1 : 0;
    }
    const std::string_view name = format_.substr(begin, at_ - 1 - begin);
    const Value* value = values_.dict().Find(name);
    if (value == nullptr) Fail("{}", ShortRepr(name));
    used_ = 1;
    *c = Next();
    return *value;
  }

  void Conversion() {
    char c = Next();
    const std::optional<Value> named = NamedValue(&c);
    NumberFormat format;
    for (; std::string_view("-+ #0").find(c) != std::string_view::npos; c = Next()) {
      if (c == '-') format.align = '<';
      if (c == '+') format.sign = '+';
      if (c == ' ' && format.sign == '-') format.sign = ' ';
      if (c == '#') format.alternate = true;
      if (c == '0') format.fill = '0';
    }
    format.width = Number(&c);
    if (format.width < 0) format.width = -format.width, format.align = '<';
    if (c == '.') {
      c = Next();
      format.precision = std::max<int64_t>(Number(&c), 0);
      if (format.precision > 1000) Fail("precision too big: want at most 1000");
    }
    if (c == 'l' || c == 'h' || c == 'L') c = Next();
    if (c == '%') return out_.Append("%");
    if (std::string_view("sradiuoxXeEfFgGc").find(c) == std::string_view::npos) {
      Fail("unsupported format character '{}' (0x{:x}) at index {}", c,
           static_cast<unsigned char>(c), at_ - 1);
    }
    Convert(c, named ? *named : NextValue(), format);
  }

  void Convert(char type, const Value& value, NumberFormat format) {
    if (type == 's' || type == 'r' || type == 'a') {
      const std::string text = type == 's' ? StrOf(runtime_, value) : ReprOf(runtime_, value);
      return AppendText(text, value, format);
    }
    if (type == 'c' && value.IsString()) {
      if (value.text().length != 1) Fail("%c requires int or char");
      return AppendText(value.string(), value, format);
    }
    if (format.align == '<') format.fill = ' ';
    if (format.fill == '0') format.align = '=';
    const bool decimal = type == 'd' || type == 'i' || type == 'u';
    const bool as_float = std::string_view("eEfFgG").find(type) != std::string_view::npos;
    RequireDefined(value);
    if (!value.IsNumber()) {
      Fail("%{} format: {} is required, not {}", type,
           as_float || decimal ? "a real number" : "an integer", TypeName(value));
    }
    format.type = decimal ? 'd' : type;
    if (as_float) return AppendNumber(Value::Float(value.floating()), format, &out_);
    if (value.IsIntegral()) return AppendNumber(Value::Int(value.integer()), format, &out_);
    if (!decimal) Fail("%{} format: an integer is required, not float", type);
    const double number = std::trunc(value.floating());
    if (!(number >= -0x1p63 && number < 0x1p63)) {
      Fail("%d format: {} does not fit the 64 bits of an integer", value.floating());
    }
    AppendNumber(Value::Int(static_cast<int64_t>(number)), format, &out_);
  }

  void AppendText(std::string_view text, const Value& value, NumberFormat format) {
    format.fill = ' ';
    const Text whole{std::string(text)};
    if (format.precision >= 0) text = Substring(whole, 0, static_cast<size_t>(format.precision));
    const bool escape = markup_ && !value.IsMarkup();
    AppendPadded(escape ? EscapeHtml(text) : std::string(text), format, '>', &out_);
  }

  Runtime& runtime_;
  std::string_view format_;
  bool markup_;
  const Value& values_;
  TextBuilder out_;
  size_t at_ = 0;
  size_t used_ = 0;  // values taken
};

// Interprets the replacement fields of str.format().
class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, Arguments& arguments, bool markup)
      : runtime_(runtime), arguments_(arguments), markup_(markup) {}

  // `level` counts formats within formats' specifications.
  std::string Run(std::string_view format, int level = 0) {
    if (level > 1) Fail("Max string recursion exceeded");
    TextBuilder out(runtime_);
    for (size_t at = 0; at < format.size();) {
      const size_t brace = std::min(format.find_first_of("{}", at), format.size());
      out.Append(format.substr(at, brace - at));
      at = brace;
      if (at == format.size()) break;
      const char c = format[at++];
      if (at < format.size() && format[at] == c) {
        out.Append(format.substr(at++, 1));
      } else if (c == '}') {
        Fail("Single '}}' encountered in format string");
      } else {
        const size_t end = EndOfField(format, at);
        Field(format.substr(at, end - at), level, &out);
        at = end + 1;
      }
    }
    return out.Take();
  }

 private:
  static size_t EndOfField(std::string_view format, size_t at) {
    for (int open = 1; at < format.size(); ++at) {
      if (format[at] == '{') ++open;
      if (format[at] == '}' && --open == 0) return at;
    }
    Fail("expected '}}' before end of string");
  }

  void Field(std::string_view field, int level, TextBuilder* out) {
    // A name may have ':' and '!' within brackets.
    size_t end = 0;
    bool bracket = false;
    for (; end < field.size(); ++end) {
      if (field[end] == '[') bracket = true;
      if (field[end] == ']') bracket = false;
      if (!bracket && (field[end] == ':' || field[end] == '!')) break;
    }
    Value value = Resolve(field.substr(0, end));
    std::string_view rest = field.substr(end);
    if (rest.starts_with('!')) {
      const char conversion = rest.size() > 1 ? rest[1] : '\0';
      if (rest.size() > 2 && rest[2] != ':') Fail("expected ':' after conversion specifier");
      if (conversion == 's') {
        value = Value::String(StrOf(runtime_, value));
      } else if (conversion == 'r' || conversion == 'a') {
        value = Value::String(ReprOf(runtime_, value));
      } else {
        Fail("Unknown conversion specifier '{}', want 's' or 'r'", ShortText(rest));
      }
      rest.remove_prefix(2);
    }
    if (!rest.empty()) rest.remove_prefix(1);
    const std::string spec = Run(rest, level + 1);
    const std::string text = FormatWithSpec(runtime_, value, spec);
    out->Append(markup_ && !value.IsMarkup() ? EscapeHtml(text) : text);
  }

  // Resolves a name such as "0.role" or "items[key]".
  Value Resolve(std::string_view name) {
    const size_t end = std::min(name.find_first_of(".["), name.size());
    Value value = First(name.substr(0, end));
    for (size_t at = end; at < name.size();) {
      if (name[at] == '.') {
        const size_t next = std::min(name.find_first_of(".[", at + 1), name.size());
        if (next == at + 1) Fail("Empty attribute in format string");
        value = GetAttribute(runtime_, value, std::string(name.substr(at + 1, next - at - 1)));
        at = next;
      } else if (name[at] == '[') {
        const size_t close = name.find(']', at);
        if (close == std::string_view::npos) Fail("Missing ']' in format string");
        const std::string_view index = name.substr(at + 1, close - at - 1);
        if (index.empty()) Fail("Empty attribute in format string");
        const std::optional<int64_t> number = AsIndex(index);
        value = GetItem(runtime_, value,
                        number ? Value::Int(*number) : Value::String(std::string(index)));
        at = close + 1;
      } else {
        Fail("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  static std::optional<int64_t> AsIndex(std::string_view text) {
    if (text.empty() || text.size() > 9) return std::nullopt;
    int64_t number = 0;
    for (const char c : text) {
      if (c < '0' || c > '9') return std::nullopt;
      number = number * 10 + (c - '0');
    }
    return number;
  }

  Value First(std::string_view name) {
    std::optional<int64_t> index = AsIndex(name);
    if (name.empty()) {
      if (explicit_) Fail("cannot switch from manual field specification to automatic numbering");
      automatic_ = true;
      index = next_++;
    } else if (index) {
      if (automatic_) Fail("cannot switch from automatic field numbering to manual specification");
      explicit_ = true;
    }
    if (index) {
      if (*index >= static_cast<int64_t>(arguments_.positional.size())) {
        Fail("Replacement index {} out of range for positional args tuple", *index);
      }
      return arguments_.positional[static_cast<size_t>(*index)];
    }
    for (const auto& [key, value] : arguments_.keyword) {
      if (key == name) return value;
    }
    Fail("{}", ShortRepr(name));
  }

  Runtime& runtime_;
  Arguments& arguments_;
  bool markup_;
  int64_t next_ = 0;
  bool automatic_ = false;
  bool explicit_ = false;
};

}  // namespace

Value FormatPercent(Runtime& runtime, const Value& format, const Value& values) {
  std::string text = PercentFormatter(runtime, format, values).Run();
  return format.IsMarkup() ? Value::Markup(std::move(text)) : Value::String(std::move(text));
}

Value FormatBraces(Runtime& runtime, const Value& format, Arguments& arguments) {
  std::string text = BraceFormatter(runtime, arguments, format.IsMarkup()).Run(format.string());
  return format.IsMarkup() ? Value::Markup(std::move(text)) : Value::String(std::move(text));
}

}  // namespace sinter::text::jinja

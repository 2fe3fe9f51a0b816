// Filters of texts.
#include <algorithm>
#include <unordered_map>

#include "text/jinja/code_points.h"
#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"
#include "text/jinja/text_functions.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

// markupsafe.soft_str(): a string as it is, str() of anything else.
Value SoftString(Runtime& runtime, const Value& value) {
  return value.IsString() ? value : Value::String(StrOf(runtime, value));
}

// Makes a string that is markup where `self` is.
Value StringLike(Runtime& runtime, const Value& self, std::string text) {
  runtime.CheckTextBytes(text.size());
  return self.IsMarkup() ? Value::Markup(std::move(text)) : Value::String(std::move(text));
}

// A filter that is the method of str with the same name.
template <const char* kMethod>
Value MethodFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  return FindStringMethod(kMethod)(runtime, SoftString(runtime, self), arguments);
}
constexpr char kUpper[] = "upper";
constexpr char kLower[] = "lower";
constexpr char kCapitalize[] = "capitalize";

Value CenterFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("center", arguments, {"width"});
  const Value text = SoftString(runtime, self);
  return StringLike(runtime, text, Justify(runtime, text.text(), bound.IntOr(0, 80), '^', " "));
}

Value EscapeFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("escape", arguments, {});
  if (self.IsMarkup()) return self;
  return Value::Markup(EscapeHtml(StrOf(runtime, self)));
}

Value ForceEscapeFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("forceescape", arguments, {});
  return Value::Markup(EscapeHtml(StrOf(runtime, self)));
}

Value SafeFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("safe", arguments, {});
  return Value::Markup(StrOf(runtime, self));
}

Value FormatFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  if (!arguments.keyword.empty() && !arguments.positional.empty()) {
    Fail("can't handle positional and keyword arguments at the same time");
  }
  const Value format = SoftString(runtime, self);
  if (arguments.keyword.empty()) {
    return FormatPercent(runtime, format, runtime.NewTuple(arguments.positional));
  }
  Dict* values = runtime.NewDict();
  for (const auto& [name, value] : arguments.keyword) {
    values->Set(runtime, Value::String(name), value);
  }
  return FormatPercent(runtime, format, Value::OfDict(values));
}

Value IndentFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("indent", arguments, {"width", "first", "blank"});
  const bool first = bound[1] != nullptr && Truth(runtime, *bound[1]);
  const bool blank = bound[2] != nullptr && Truth(runtime, *bound[2]);
  RequireDefined(self);
  if (!self.IsString()) {
    Fail("unsupported operand type(s) for +=: '{}' and 'str'", TypeName(self));
  }
  std::string indention;
  if (bound[0] != nullptr && bound[0]->IsString()) {
    indention = bound[0]->string();
  } else {
    const auto width = static_cast<size_t>(std::max<int64_t>(bound.IntOr(0, 4), 0));
    runtime.CheckTextBytes(width);
    indention.assign(width, ' ');
  }
  TextBuilder out(runtime);
  const std::string lines_text = self.string() + "\n";
  bool is_first = true;
  for (const std::string_view line : SplitLines(lines_text, /*keep_ends=*/false)) {
    if (!is_first) out.Append("\n");
    if (is_first ? first : blank || !line.empty()) out.Append(indention);
    out.Append(line);
    is_first = false;
  }
  return StringLike(runtime, self, out.Take());
}

Value ReplaceFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  const bool all = bound[2] == nullptr || bound[2]->IsNone();
  return runtime.NewString(Replace(runtime, StrOf(runtime, self), StrOf(runtime, *bound[0]),
                                   StrOf(runtime, *bound[1]), all ? -1 : bound.IntOr(2, -1)));
}

Value TitleFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("title", arguments, {});
  const Value text = SoftString(runtime, self);
  const std::string& utf8 = text.string();
  const auto separates = [](char32_t c) {
    return IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  std::string out;
  for (size_t begin = 0; begin < utf8.size();) {
    // A run of separators, or of anything else.
    size_t after_first = begin;
    const bool separator = separates(NextCodePoint(utf8, &after_first));
    size_t end = after_first;
    while (end < utf8.size()) {
      size_t next = end;
      if (separates(NextCodePoint(utf8, &next)) != separator) break;
      end = next;
    }
    out += Upper(std::string_view(utf8).substr(begin, after_first - begin));
    out += Lower(std::string_view(utf8).substr(after_first, end - after_first));
    begin = end;
  }
  runtime.SpendBytes(utf8.size());
  return StringLike(runtime, Value::String(""), std::move(out));
}

Value TrimFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  Arguments positional;
  const Bound bound("trim", arguments, {"chars"});
  if (bound[0] != nullptr) positional.positional.push_back(*bound[0]);
  return FindStringMethod("strip")(runtime, SoftString(runtime, self), positional);
}

Value TruncateFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t length = bound.IntOr(0, 255);
  const bool kill_words = bound[1] != nullptr && Truth(runtime, *bound[1]);
  const std::string end = bound[2] != nullptr ? bound.String(2) : "...";
  const int64_t leeway = bound[3] == nullptr || bound[3]->IsNone() ? 5 : bound.IntOr(3, 5);
  const auto end_length = static_cast<int64_t>(CodePoints(end));
  if (length < end_length) Fail("expected length >= {}, got {}", end_length, length);
  if (leeway < 0) Fail("expected leeway >= 0, got {}", leeway);
  const std::optional<int64_t> size = Length(runtime, self);
  if (!size) Fail("object of type '{}' has no len()", TypeName(self));
  if (*size - leeway <= length) return self;
  if (!self.IsString()) Fail("truncate: want a str, got {}", TypeName(self));
  std::string_view kept = Substring(self.text(), 0, static_cast<size_t>(length - end_length));
  if (!kill_words) kept = Split(kept, " ", 1, /*from_right=*/true).front();
  return StringLike(runtime, self, std::string(kept) + end);
}

// urllib.parse.quote(), or quote_plus() for a query.
std::string QuoteUrl(std::string_view text, bool for_query) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' ||
                       c == '-' || c == '~' || (c == '/' && !for_query);
    if (plain) {
      out += c;
    } else if (c == ' ' && for_query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Value UrlEncodeFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("urlencode", arguments, {});
  const bool single = self.IsString() || TryIterate(self) == nullptr;
  if (single) return runtime.NewString(QuoteUrl(StrOf(runtime, self), false));
  Arguments none;
  const Value pairs = self.IsDict() ? FindMethod(self, "items")(runtime, self, none) : self;
  TextBuilder out(runtime);
  for (const Value& pair : ItemsOf(runtime, pairs)) {
    const std::vector<Value> parts = ItemsOf(runtime, pair);
    if (parts.size() != 2) Fail("urlencode: want pairs, got {} values", parts.size());
    if (!out.text().empty()) out.Append("&");
    out.Append(QuoteUrl(StrOf(runtime, parts[0]), true));
    out.Append("=");
    out.Append(QuoteUrl(StrOf(runtime, parts[1]), true));
  }
  return Value::String(out.Take());
}

Value WordCountFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("wordcount", arguments, {});
  const std::string text = StrOf(runtime, self);
  int64_t words = 0;
  bool in_word = false;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = NextCodePoint(text, &pos);
    const bool part = c == '_' || IsAlnum(c);
    words += part && !in_word ? 1 : 0;
    in_word = part;
  }
  return Value::Int(words);
}

Value XmlAttrFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("xmlattr", arguments, {"autospace"});
  const bool space = bound[0] == nullptr || Truth(runtime, *bound[0]);
  RequireDefined(self);
  if (!self.IsDict()) Fail("'{}' object has no attribute 'items'", TypeName(self));
  TextBuilder out(runtime);
  for (const auto& [key, value] : self.dict().entries()) {
    if (value.IsNone() || value.IsUndefined()) continue;
    if (!key.IsString()) Fail("xmlattr: want names of type str, got {}", TypeName(key));
    if (key.string().find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      Fail("Invalid character in attribute name: {}", ShortRepr(key.string()));
    }
    const std::string text = StrOf(runtime, value);
    if (space || !out.text().empty()) out.Append(" ");
    out.Append(key.IsMarkup() ? key.string() : EscapeHtml(key.string()));
    out.Append("=\"");
    out.Append(value.IsMarkup() ? text : EscapeHtml(text));
    out.Append("\"");
  }
  return Value::String(out.Take());
}

}  // namespace

Builtin FindTextFilter(std::string_view name) {
  static const std::unordered_map<std::string_view, Builtin> text_filters = {
      {"capitalize", MethodFilter<kCapitalize>},
      {"center", CenterFilter},
      {"e", EscapeFilter},
      {"escape", EscapeFilter},
      {"forceescape", ForceEscapeFilter},
      {"format", FormatFilter},
      {"indent", IndentFilter},
      {"lower", MethodFilter<kLower>},
      {"replace", ReplaceFilter},
      {"safe", SafeFilter},
      {"title", TitleFilter},
      {"trim", TrimFilter},
      {"truncate", TruncateFilter},
      {"upper", MethodFilter<kUpper>},
      {"urlencode", UrlEncodeFilter},
      {"wordcount", WordCountFilter},
      {"xmlattr", XmlAttrFilter},
  };
  const auto it = text_filters.find(name);
  return it != text_filters.end() ? it->second : nullptr;
}

}  // namespace sinter::text::jinja

// The methods of str.
#include <algorithm>
#include <unordered_map>

#include "text/jinja/code_points.h"
#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"
#include "text/jinja/text_functions.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

// Makes a string of the kind of `self`: methods of escaped HTML give escaped HTML.
Value Like(Runtime& runtime, const Value& self, std::string text) {
  runtime.SpendBytes(text.size());
  runtime.CheckTextBytes(text.size());
  return self.IsMarkup() ? Value::Markup(std::move(text)) : Value::String(std::move(text));
}

// Returns an argument's text, escaped if `self` is HTML and the argument is not.
std::string TextFor(const Value& self, const Bound& bound, size_t index) {
  std::string text = bound.String(index);
  return self.IsMarkup() && !bound[index]->IsMarkup() ? EscapeHtml(text) : text;
}

Value ListOf(Runtime& runtime, const Value& self, const std::vector<std::string_view>& parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) {
    items.push_back(Like(runtime, self, std::string(part)));
  }
  return runtime.NewList(std::move(items));
}

template <std::string (*Convert)(std::string_view)>
Value CaseMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("str method", arguments, {});
  return Like(runtime, self, Convert(self.string()));
}

template <Side kSide>
Value StripMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("strip", arguments, {"/chars"});
  const std::optional<std::string> chars = bound.StringOrNone(0);
  // Each character is looked up among the chars.
  if (chars) runtime.Spend(static_cast<int64_t>(self.string().size() / 16 * (chars->size() / 16)));
  return Like(runtime, self, std::string(Strip(self.string(), kSide, chars)));
}

// Searches from the right compare at each place; long needles would make that quadratic.
void SpendSearchFromRight(Runtime& runtime, std::string_view text, std::string_view part) {
  runtime.Spend(static_cast<int64_t>(text.size() / 16 * (part.size() / 64)) + 1);
}

template <bool kFromRight>
Value SplitMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("split", arguments, {"sep", "maxsplit"});
  const std::optional<std::string> separator = bound.StringOrNone(0);
  const int64_t max_split = bound.IntOr(1, -1);
  runtime.SpendBytes(self.string().size());
  if (!separator) return ListOf(runtime, self, SplitWords(self.string(), max_split, kFromRight));
  if (separator->empty()) Fail("split(): empty separator");
  if (kFromRight) SpendSearchFromRight(runtime, self.string(), *separator);
  return ListOf(runtime, self, Split(self.string(), *separator, max_split, kFromRight));
}

Value SplitLinesMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("splitlines", arguments, {"keepends"});
  runtime.SpendBytes(self.string().size());
  return ListOf(runtime, self,
                SplitLines(self.string(), bound[0] != nullptr && Truth(runtime, *bound[0])));
}

template <bool kFromRight>
Value PartitionMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("partition", arguments, {"/sep"}, 1);
  const std::string separator = TextFor(self, bound, 0);
  if (separator.empty()) Fail("partition(): empty separator");
  const std::string& text = self.string();
  runtime.SpendBytes(text.size());
  if (kFromRight) SpendSearchFromRight(runtime, text, separator);
  const size_t at = kFromRight ? text.rfind(separator) : FindText(text, separator);
  const bool found = at != std::string::npos;
  std::string before, middle, after;
  if (found) {
    before = text.substr(0, at);
    middle = separator;
    after = text.substr(at + separator.size());
  } else {
    (kFromRight ? after : before) = text;
  }
  return runtime.NewTuple(
      {Like(runtime, self, before), Like(runtime, self, middle), Like(runtime, self, after)});
}

// The part of `self` that the arguments start and end (numbers 1 and 2) choose.
struct Range {
  size_t begin;  // in code points
  std::string_view text;
  bool valid;  // whether start is not behind the end
};

Range RangeOf(const Value& self, const Bound& bound) {
  const auto length = static_cast<int64_t>(self.text().length);
  const auto place = [&](size_t index, int64_t fallback) {
    if (bound[index] == nullptr || bound[index]->IsNone()) return fallback;
    const int64_t at = bound.IntOr(index, 0);
    return at < 0 ? std::max<int64_t>(at + length, 0) : at;
  };
  const int64_t begin = place(1, 0);
  const int64_t end = std::min(place(2, length), length);
  if (begin > end) return {0, {}, false};
  return {static_cast<size_t>(begin),
          Substring(self.text(), static_cast<size_t>(begin), static_cast<size_t>(end)), true};
}

// Returns the index of the first or last occurrence, or -1.
template <bool kFromRight>
int64_t Search(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("find", arguments, {"/sub", "/start", "/end"}, 1);
  const Range range = RangeOf(self, bound);
  const std::string part = bound.String(0);
  runtime.SpendBytes(self.string().size());
  if (!range.valid) return -1;
  if (kFromRight) SpendSearchFromRight(runtime, range.text, part);
  const size_t at = kFromRight ? range.text.rfind(part) : FindText(range.text, part);
  if (at == std::string::npos) return -1;
  return static_cast<int64_t>(range.begin + CodePoints(range.text.substr(0, at)));
}

template <bool kFromRight>
Value FindMethodOfString(Runtime& runtime, const Value& self, Arguments& arguments) {
  return Value::Int(Search<kFromRight>(runtime, self, arguments));
}

template <bool kFromRight>
Value IndexMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const int64_t index = Search<kFromRight>(runtime, self, arguments);
  if (index < 0) Fail("substring not found");
  return Value::Int(index);
}

Value CountMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("count", arguments, {"/sub", "/start", "/end"}, 1);
  const Range range = RangeOf(self, bound);
  const std::string part = bound.String(0);
  runtime.SpendBytes(self.string().size());
  if (!range.valid) return Value::Int(0);
  if (part.empty()) return Value::Int(static_cast<int64_t>(CodePoints(range.text)) + 1);
  int64_t count = 0;
  for (size_t at = FindText(range.text, part); at != std::string::npos;
       at = FindText(range.text, part, at + part.size())) {
    ++count;
  }
  return Value::Int(count);
}

template <bool kAtEnd>
Value AffixMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound(kAtEnd ? "endswith" : "startswith", arguments, {"/affix", "/start", "/end"}, 1);
  const Range range = RangeOf(self, bound);
  const auto matches = [&](const Value& affix) {
    RequireDefined(affix);
    if (!affix.IsString()) {
      Fail("{} first arg must be str or a tuple of str, not {}", kAtEnd ? "endswith" : "startswith",
           TypeName(affix));
    }
    runtime.SpendBytes(affix.string().size());
    return range.valid &&
           (kAtEnd ? range.text.ends_with(affix.string()) : range.text.starts_with(affix.string()));
  };
  if (bound[0]->kind() != Kind::kTuple) return Value::Bool(matches(*bound[0]));
  const std::vector<Value>& affixes = bound[0]->items();
  return Value::Bool(std::any_of(affixes.begin(), affixes.end(), matches));
}

template <bool kAtEnd>
Value RemoveAffixMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("removeprefix", arguments, {"/affix"}, 1);
  std::string_view text = self.string();
  const std::string affix = bound.String(0);
  if (kAtEnd ? text.ends_with(affix) : text.starts_with(affix)) {
    kAtEnd ? text.remove_suffix(affix.size()) : text.remove_prefix(affix.size());
  }
  return Like(runtime, self, std::string(text));
}

Value ReplaceMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("replace", arguments, {"/old", "/new", "count"}, 2);
  return Like(runtime, self,
              Replace(runtime, self.string(), TextFor(self, bound, 0), TextFor(self, bound, 1),
                      bound.IntOr(2, -1)));
}

Value JoinMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("join", arguments, {"/iterable"}, 1);
  TextBuilder text(runtime);
  size_t index = 0;
  for (const Value& item : ItemsOf(runtime, *bound[0])) {
    if (!item.IsString()) {
      Fail("sequence item {}: expected str instance, {} found", index, TypeName(item));
    }
    if (index++ != 0) text.Append(self.string());
    text.Append(self.IsMarkup() && !item.IsMarkup() ? EscapeHtml(item.string()) : item.string());
  }
  return Like(runtime, self, text.Take());
}

// ljust, rjust and center.
template <char kAlign>
Value JustifyMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("ljust", arguments, {"/width", "/fillchar"}, 1);
  const std::string fill = bound[1] != nullptr ? bound.String(1) : " ";
  if (CodePoints(fill) != 1) Fail("The fill character must be exactly one character long");
  return Like(runtime, self, Justify(runtime, self.text(), bound.IntOr(0, 0), kAlign, fill));
}

Value ZfillMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("zfill", arguments, {"/width"}, 1);
  const std::string& text = self.string();
  const bool sign = text.starts_with('-') || text.starts_with('+');
  const Text digits(text.substr(sign ? 1 : 0));
  const int64_t width = std::max<int64_t>(bound.IntOr(0, 0), 0) - (sign ? 1 : 0);
  return Like(runtime, self,
              text.substr(0, sign ? 1 : 0) + Justify(runtime, digits, width, '>', "0"));
}

Value ExpandTabsMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("expandtabs", arguments, {"tabsize"});
  const int64_t tab = bound.IntOr(0, 8);
  TextBuilder text(runtime);
  int64_t column = 0;
  const std::string& utf8 = self.string();
  for (size_t pos = 0; pos < utf8.size();) {
    const size_t begin = pos;
    const char32_t c = NextCodePoint(utf8, &pos);
    if (c == '\t') {
      const int64_t spaces = tab > 0 ? tab - column % tab : 0;
      text.Append(static_cast<size_t>(spaces), ' ');
      column += spaces;
      continue;
    }
    text.Append(std::string_view(utf8).substr(begin, pos - begin));
    column = c == '\n' || c == '\r' ? 0 : column + 1;
  }
  return Like(runtime, self, text.Take());
}

// Whether the text is not empty and each character is of the class.
template <bool (*Is)(char32_t)>
Value AllMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("str method", arguments, {});
  const std::string& text = self.string();
  runtime.SpendBytes(text.size());
  for (size_t pos = 0; pos < text.size();) {
    if (!Is(NextCodePoint(text, &pos))) return Value::Bool(false);
  }
  return Value::Bool(!text.empty());
}

Value IsPrintableMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  if (self.string().empty()) return Value::Bool(true);
  return AllMethod<IsPrintable>(runtime, self, arguments);
}

Value IsAsciiMethod(Runtime&, const Value& self, Arguments&) {
  return Value::Bool(self.text().IsAscii());
}

Value IsLowerMethod(Runtime&, const Value& self, Arguments&) {
  return Value::Bool(HasCase(self.string(), IsLower));
}
Value IsUpperMethod(Runtime&, const Value& self, Arguments&) {
  return Value::Bool(HasCase(self.string(), IsUpper));
}

Value IsTitleMethod(Runtime& runtime, const Value& self, Arguments&) {
  const std::string& text = self.string();
  runtime.SpendBytes(text.size());
  bool in_word = false, any = false;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = NextCodePoint(text, &pos);
    const bool capital = IsUpper(c) || IsTitle(c), small = IsLower(c);
    if ((capital && in_word) || (small && !in_word)) return Value::Bool(false);
    in_word = capital || small;
    any = any || in_word;
  }
  return Value::Bool(any);
}

Value IsIdentifierMethod(Runtime&, const Value& self, Arguments&) {
  return Value::Bool(IsIdentifier(self.string()));
}

Value FormatMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  return FormatBraces(runtime, self, arguments);
}

Value FormatMapMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("format_map", arguments, {"/mapping"}, 1);
  if (!bound[0]->IsDict())
    Fail("format_map() argument must be a dict, not {}", TypeName(*bound[0]));
  Arguments named;
  for (const auto& [key, value] : bound[0]->dict().entries()) {
    if (key.IsString()) named.keyword.emplace_back(key.string(), value);
  }
  return FormatBraces(runtime, self, named);
}

}  // namespace

Builtin FindStringMethod(std::string_view name) {
  static const std::unordered_map<std::string_view, Builtin> string_methods = {
      {"capitalize", CaseMethod<Capitalize>},
      {"casefold", CaseMethod<CaseFold>},
      {"center", JustifyMethod<'^'>},
      {"count", CountMethod},
      {"endswith", AffixMethod<true>},
      {"expandtabs", ExpandTabsMethod},
      {"find", FindMethodOfString<false>},
      {"format", FormatMethod},
      {"format_map", FormatMapMethod},
      {"index", IndexMethod<false>},
      {"isalnum", AllMethod<IsAlnum>},
      {"isalpha", AllMethod<IsAlpha>},
      {"isascii", IsAsciiMethod},
      {"isdecimal", AllMethod<IsDecimal>},
      {"isdigit", AllMethod<IsDigit>},
      {"isidentifier", IsIdentifierMethod},
      {"islower", IsLowerMethod},
      {"isnumeric", AllMethod<IsNumericCharacter>},
      {"isprintable", IsPrintableMethod},
      {"isspace", AllMethod<IsSpace>},
      {"istitle", IsTitleMethod},
      {"isupper", IsUpperMethod},
      {"join", JoinMethod},
      {"ljust", JustifyMethod<'<'>},
      {"lower", CaseMethod<Lower>},
      {"lstrip", StripMethod<Side::kLeft>},
      {"partition", PartitionMethod<false>},
      {"removeprefix", RemoveAffixMethod<false>},
      {"removesuffix", RemoveAffixMethod<true>},
      {"replace", ReplaceMethod},
      {"rfind", FindMethodOfString<true>},
      {"rindex", IndexMethod<true>},
      {"rjust", JustifyMethod<'>'>},
      {"rpartition", PartitionMethod<true>},
      {"rsplit", SplitMethod<true>},
      {"rstrip", StripMethod<Side::kRight>},
      {"split", SplitMethod<false>},
      {"splitlines", SplitLinesMethod},
      {"startswith", AffixMethod<false>},
      {"strip", StripMethod<Side::kBoth>},
      {"swapcase", CaseMethod<SwapCase>},
      {"title", CaseMethod<TitleCase>},
      {"upper", CaseMethod<Upper>},
      {"zfill", ZfillMethod},
  };
  const auto it = string_methods.find(name);
  return it != string_methods.end() ? it->second : nullptr;
}

}  // namespace sinter::text::jinja

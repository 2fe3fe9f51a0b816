#include "text/jinja/python_text.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "text/jinja/code_points.h"
#include "text/jinja/object.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

void AppendRepr(Runtime& runtime, const Value& value, TextBuilder* out);

void AppendItems(Runtime& runtime, const std::vector<Value>& items, TextBuilder* out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out->Append(", ");
    AppendRepr(runtime, items[i], out);
  }
}

void AppendRepr(Runtime& runtime, const Value& value, TextBuilder* out) {
  const DepthScope depth(runtime);
  switch (value.kind()) {
    case Kind::kUndefined:
      out->Append("Undefined");
      return;
    case Kind::kNone:
      out->Append("None");
      return;
    case Kind::kBool:
      out->Append(value.boolean() ? "True" : "False");
      return;
    case Kind::kInt:
      out->Append(fmt::format_int(value.integer()).c_str());
      return;
    case Kind::kBigInt:
      out->Append(value.string());
      return;
    case Kind::kFloat:
      out->Append(ReprOfFloat(value.floating()));
      return;
    case Kind::kString:
      if (value.IsMarkup()) out->Append("Markup(");
      out->Append(ReprOfString(value.string()));
      if (value.IsMarkup()) out->Append(")");
      return;
    case Kind::kList:
      out->Append("[");
      AppendItems(runtime, value.items(), out);
      out->Append("]");
      return;
    case Kind::kTuple:
      out->Append("(");
      AppendItems(runtime, value.items(), out);
      out->Append(value.items().size() == 1 ? ",)" : ")");
      return;
    case Kind::kDict: {
      out->Append("{");
      bool first = true;
      for (const auto& [key, item] : value.dict().entries()) {
        if (!first) out->Append(", ");
        first = false;
        AppendRepr(runtime, key, out);
        out->Append(": ");
        AppendRepr(runtime, item, out);
      }
      out->Append("}");
      return;
    }
    case Kind::kObject:
      out->Append(value.object().Repr(runtime));
      return;
  }
}

}  // namespace

void AppendStr(Runtime& runtime, const Value& value, TextBuilder* out) {
  if (value.IsString()) {
    out->Append(value.string());
  } else if (!value.IsUndefined()) {
    AppendRepr(runtime, value, out);
  }
}

std::string StrOf(Runtime& runtime, const Value& value) {
  TextBuilder out(runtime);
  AppendStr(runtime, value, &out);
  return out.Take();
}

std::string ReprOf(Runtime& runtime, const Value& value) {
  TextBuilder out(runtime);
  AppendRepr(runtime, value, &out);
  return out.Take();
}

std::string ReprOfString(std::string_view text) {
  const bool double_quotes =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  std::string out(1, quote);
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    const char32_t c = NextCodePoint(text, &pos);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (IsPrintable(c)) {
      out += text.substr(begin, pos - begin);
    } else {
      const auto code = static_cast<uint32_t>(c);
      out += code < 0x100     ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
    }
  }
  return out + quote;
}

std::string_view ShortText(std::string_view text) {
  constexpr size_t kMaxBytes = 80;
  if (text.size() <= kMaxBytes) return text;
  size_t end = kMaxBytes;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

std::string ShortRepr(std::string_view text) { return ReprOfString(ShortText(text)); }

std::string ReprOfFloat(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  // Digits and exponent in the form d.ddde+xx, which Python writes otherwise for exponents from -4
  // to 15.
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + 1 + (text[e + 1] == '+' ? 1 : 0), end, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const std::string sign = number < 0 || std::signbit(number) ? "-" : "";
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  if (exponent < 0) return sign + "0." + std::string(-exponent - 1, '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

}  // namespace sinter::text::jinja

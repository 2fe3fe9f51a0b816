#include "text/jinja/format.h"

#include <cmath>
#include <cstdio>

#include "text/jinja/code_points.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

// Widths and precisions beyond this are errors; a text would only grow too long.
constexpr int64_t kMaxWidth = 1'000'000;
constexpr int64_t kMaxPrecision = 1'000;

// Inserts a separator between groups of digits at the end of `digits`.
std::string Group(const std::string& digits, char separator, size_t group) {
  if (separator == 0) return digits;
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i != 0 && (digits.size() - i) % group == 0) out += separator;
    out += digits[i];
  }
  return out;
}

std::string DigitsOf(uint64_t number, unsigned base, bool upper) {
  std::string digits;
  do {
    digits.insert(digits.begin(), (upper ? "0123456789ABCDEF" : "0123456789abcdef")[number % base]);
    number /= base;
  } while (number != 0);
  return digits;
}

std::string FloatDigits(double number, const NumberFormat& format, char type) {
  if (std::isnan(number)) return std::isupper(type) != 0 ? "NAN" : "nan";
  if (std::isinf(number)) return std::isupper(type) != 0 ? "INF" : "inf";
  const int precision = format.precision < 0 ? 6 : static_cast<int>(format.precision);
  const std::string pattern =
      std::string("%") + (format.alternate ? "#" : "") + ".*" + (type == '%' ? 'f' : type);
  if (type == '%') number *= 100;
  std::string digits(
      static_cast<size_t>(std::snprintf(nullptr, 0, pattern.c_str(), precision, number)), '\0');
  std::snprintf(digits.data(), digits.size() + 1, pattern.c_str(), precision, number);
  if (type == '%') digits += '%';
  return digits;
}

// format() of a float without a type: repr(), or like 'g' with a digit behind the point.
std::string PlainFloat(double number, const NumberFormat& format) {
  if (format.precision < 0) return ReprOfFloat(number);
  NumberFormat general = format;
  if (general.precision == 0) general.precision = 1;
  std::string digits = FloatDigits(number, general, 'g');
  // Where 'g' would print as many digits as the precision without a point, str goes to exponents.
  if (digits.find_first_of(".en") == std::string::npos) {
    if (static_cast<int64_t>(digits.size()) >= general.precision) {
      --general.precision;
      digits = FloatDigits(number, general, 'e');
      size_t zeros = digits.find('e');
      const size_t exponent = zeros;
      if (digits.find('.') != std::string::npos) {
        while (digits[zeros - 1] == '0') --zeros;
        if (digits[zeros - 1] == '.') --zeros;
        digits.erase(zeros, exponent - zeros);
      }
      if (static_cast<int64_t>(std::to_string(static_cast<int64_t>(number)).size()) <=
          general.precision) {
        digits += ".0";
      }
    } else {
      digits += ".0";
    }
  }
  return digits;
}

// Appends sign, prefix and digits, padded to the format's width.
void AppendSigned(std::string_view sign, std::string_view prefix, const std::string& digits,
                  const NumberFormat& format, size_t group, TextBuilder* out) {
  // The separators stand only between digits before the point.
  const size_t whole = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string text = Group(digits.substr(0, whole), format.grouping, group) + digits.substr(whole);
  const size_t used = sign.size() + prefix.size() + text.size();
  const auto width = static_cast<size_t>(format.width);
  const size_t padding = width > used ? width - used : 0;
  const char align = format.align != 0 ? format.align : '>';
  const size_t before = align == '>' ? padding : align == '^' ? padding / 2 : 0;
  out->Append(before, format.fill);
  out->Append(sign);
  out->Append(prefix);
  if (align == '=') out->Append(padding, format.fill);
  out->Append(text);
  if (align == '<' || align == '^') out->Append(padding - before, format.fill);
}

void AppendInteger(int64_t number, const NumberFormat& format, TextBuilder* out) {
  const uint64_t magnitude =
      number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  const std::string sign = number < 0 ? "-" : format.sign == '-' ? "" : std::string(1, format.sign);
  std::string_view prefix;
  unsigned base = 10;
  switch (format.type) {
    case 'x':
      base = 16, prefix = "0x";
      break;
    case 'X':
      base = 16, prefix = "0X";
      break;
    case 'o':
      base = 8, prefix = "0o";
      break;
    case 'b':
      base = 2, prefix = "0b";
      break;
    default:
      break;
  }
  std::string digits = DigitsOf(magnitude, base, format.type == 'X');
  if (static_cast<int64_t>(digits.size()) < format.precision) {
    digits.insert(0, static_cast<size_t>(format.precision) - digits.size(), '0');
  }
  AppendSigned(sign, format.alternate ? prefix : "", digits, format, base == 10 ? 3 : 4, out);
}

char32_t CharacterOf(int64_t code) {
  if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
    Fail("%c arg not in range: got {}, want a Unicode character", code);
  }
  return static_cast<char32_t>(code);
}

NumberFormat ParseSpec(std::string_view spec) {
  NumberFormat format;
  size_t at = 0;
  const auto next = [&]() { return at < spec.size() ? spec[at] : '\0'; };
  const auto number = [&](int64_t limit) {
    int64_t value = 0;
    while (next() >= '0' && next() <= '9') {
      value = value * 10 + (spec[at++] - '0');
      if (value > limit)
        Fail("format specification '{}': got a number over {}", ShortText(spec), limit);
    }
    return value;
  };
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  if (spec.size() > 1 && is_align(spec[1])) {
    format.fill = spec[0];
    format.align = spec[1];
    at = 2;
  } else if (is_align(next())) {
    format.align = spec[at++];
  }
  if (next() == '+' || next() == '-' || next() == ' ') format.sign = spec[at++];
  if (next() == '#') format.alternate = true, ++at;
  if (next() == '0') {
    ++at;
    if (format.align == 0) format.fill = '0', format.align = '=';
  }
  format.width = number(kMaxWidth);
  if (next() == ',' || next() == '_') format.grouping = spec[at++];
  if (next() == '.') {
    ++at;
    if (next() < '0' || next() > '9') Fail("Format specifier missing precision");
    format.precision = number(kMaxPrecision);
  }
  if (at < spec.size()) format.type = spec[at++];
  if (at < spec.size()) Fail("Invalid format specifier '{}'", ShortText(spec));
  return format;
}

bool IsFloatType(char type) { return std::string_view("eEfFgG%").find(type) != std::string::npos; }
bool IsIntType(char type) { return std::string_view("dxXobcn").find(type) != std::string::npos; }

}  // namespace

void AppendPadded(std::string_view text, const NumberFormat& format, char default_align,
                  TextBuilder* out) {
  const auto width = static_cast<size_t>(format.width);
  const size_t length = CodePoints(text);
  const size_t padding = width > length ? width - length : 0;
  const char align = format.align != 0 ? format.align : default_align;
  const size_t before = align == '<' ? 0 : align == '^' ? padding / 2 : padding;
  out->Append(before, format.fill);
  out->Append(text);
  out->Append(padding - before, format.fill);
}

void AppendNumber(const Value& number, const NumberFormat& format, TextBuilder* out) {
  const bool is_float = number.kind() == Kind::kFloat || IsFloatType(format.type);
  if (format.type == 'c') {
    std::string character;
    AppendUtf8(CharacterOf(number.integer()), &character);
    return AppendPadded(character, format, '>', out);
  }
  if (!is_float) return AppendInteger(number.integer(), format, out);
  const double value = number.floating();
  const std::string sign = std::signbit(value)  ? "-"
                           : format.sign == '-' ? ""
                                                : std::string(1, format.sign);
  const double magnitude = std::fabs(value);
  const std::string digits = format.type == 0 || format.type == 'n'
                                 ? PlainFloat(magnitude, format)
                                 : FloatDigits(magnitude, format, format.type);
  AppendSigned(sign, "", digits, format, 3, out);
}

std::string FormatWithSpec(Runtime& runtime, const Value& value, std::string_view specification) {
  if (specification.empty()) return StrOf(runtime, value);
  TextBuilder out(runtime);
  const NumberFormat format = ParseSpec(specification);
  if (value.IsString()) {
    if ((format.type != 0 && format.type != 's') || format.align == '=') {
      Fail("Unknown format code '{}' for object of type 'str'",
           format.type == 0 ? '=' : format.type);
    }
    std::string_view text = value.string();
    if (format.precision >= 0) {
      text = Substring(value.text(), 0, static_cast<size_t>(format.precision));
    }
    AppendPadded(text, format, '<', &out);
    return out.Take();
  }
  if (!value.IsNumber()) {
    Fail("unsupported format string passed to {}.__format__", TypeName(value));
  }
  const bool is_float = value.kind() == Kind::kFloat;
  const bool known = format.type == 0 || IsFloatType(format.type) || format.type == 'n' ||
                     (!is_float && IsIntType(format.type));
  if (!known) {
    Fail("Unknown format code '{}' for object of type '{}'", format.type, TypeName(value));
  }
  if (!is_float && format.precision >= 0 && !IsFloatType(format.type)) {
    Fail("Precision not allowed in integer format specifier");
  }
  AppendNumber(value.IsBool() ? Value::Int(value.integer()) : value, format, &out);
  return out.Take();
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace sinter::text::jinja

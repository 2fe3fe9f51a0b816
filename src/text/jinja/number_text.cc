#include "text/jinja/number_text.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>

#include "text/jinja/code_points.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

// Returns the text without single underscores between digits; nullopt if one stands elsewhere.
std::optional<std::string> WithoutUnderscores(std::string_view text) {
  const auto is_digit = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1])) {
      return std::nullopt;
    }
  }
  return out;
}

// Returns the base that a prefix stands for and removes it, or 0.
int TakePrefix(std::string_view* digits) {
  if (digits->size() < 2 || (*digits)[0] != '0') return 0;
  const char letter = static_cast<char>((*digits)[1] | 0x20);
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  if (base != 0) digits->remove_prefix(2);
  return base;
}

}  // namespace

std::optional<Value> IntOfText(Runtime& runtime, std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  text = Strip(text, Side::kBoth);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text.starts_with('_')) return std::nullopt;
  std::string_view rest = text;
  const int prefix = TakePrefix(&rest);
  if (prefix != 0 && (base == 0 || base == prefix)) {
    base = prefix;
    text = rest;
    if (text.starts_with('_')) text.remove_prefix(1);
  }
  const std::optional<std::string> plain = WithoutUnderscores(text);
  if (!plain || plain->empty()) return std::nullopt;
  if (base == 0) {
    // "0" and "00" are fine, "012" is not.
    const bool zeros = plain->find_first_not_of('0') == std::string::npos;
    if (plain->front() == '0' && !zeros) return std::nullopt;
    base = 10;
  }
  const std::string digits = (negative ? "-" : "") + *plain;
  int64_t number = 0;
  const char* end = digits.data() + digits.size();
  const auto [rest_of_digits, error] =
      std::from_chars(digits.data(), end, number, static_cast<int>(base));
  if (rest_of_digits != end || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    if (base == 10) {
      const std::string significant = plain->substr(plain->find_first_not_of('0'));
      return runtime.NewBigInt((negative ? "-" : "") + significant);
    }
    Fail("the integer {} does not fit 64 bits", std::string_view(digits).substr(0, 40));
  }
  return Value::Int(number);
}

std::optional<double> FloatOfText(std::string_view text) {
  text = Strip(text, Side::kBoth);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const std::optional<std::string> plain = WithoutUnderscores(text);
  if (!plain || plain->empty()) return std::nullopt;
  double number = 0;
  const std::string lower = Lower(*plain);
  if (lower == "inf" || lower == "infinity") {
    number = std::numeric_limits<double>::infinity();
  } else if (lower == "nan") {
    number = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (lower.find_first_not_of("0123456789.e+-") != std::string::npos) return std::nullopt;
    if (lower.starts_with('+') || lower.starts_with('-')) return std::nullopt;
    const char* end = lower.data() + lower.size();
    const auto [rest, error] = std::from_chars(lower.data(), end, number);
    if (rest != end || error == std::errc::invalid_argument) return std::nullopt;
    if (error == std::errc::result_out_of_range) {
      // Python rounds to 0 or infinity. Whether the exponent is negative tells which.
      number = lower.find("e-") != std::string::npos || lower.starts_with("0.")
                   ? 0.0
                   : std::numeric_limits<double>::infinity();
    }
  }
  return negative ? -number : number;
}

}  // namespace sinter::text::jinja

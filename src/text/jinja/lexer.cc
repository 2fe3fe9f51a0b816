#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "text/jinja/code_points.h"
#include "text/jinja/number_text.h"
#include "text/jinja/python_text.h"
#include "text/jinja/string_literal.h"
#include "text/jinja/template_error.h"
#include "text/jinja/text_functions.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

// Two characters come before one, so that "==" is not read as "=" and "=".
constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

// Makes "\r\n" and "\r" to "\n", and drops one newline at the end.
std::string NormalizeNewlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool IsWordCharacter(char32_t c) { return c == '_' || IsAlnum(c) || IsIdentifierPart(c); }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> Run() {
    while (pos_ < source_.size()) Text();
    Add(Token::Type::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view Rest() const { return source_.substr(pos_); }
  bool At(std::string_view text) const { return Rest().starts_with(text); }

  void Add(Token::Type type, std::string_view text) {
    tokens_.push_back({type, line_, std::string(text)});
  }

  [[noreturn]] void FailHere(const std::string& message) const {
    throw TemplateError(message, line_);
  }

  // Moves on and counts the lines passed.
  void Advance(size_t bytes) {
    const std::string_view passed = source_.substr(pos_, bytes);
    line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
    pos_ += passed.size();
    if (!passed.empty()) line_starting_ = passed.back() == '\n';
  }

  // Returns the number of bytes of white space at an offset.
  size_t SpacesAt(size_t at) const {
    const std::string_view rest = source_.substr(at);
    return rest.size() - Strip(rest, Side::kLeft).size();
  }

  // Reads text up to the next tag, and the tag.
  void Text() {
    size_t tag = pos_;
    for (; tag < source_.size(); ++tag) {
      tag = source_.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 >= source_.size()) {
        tag = source_.size();
        break;
      }
      const char next = source_[tag + 1];
      if (next == '{' || next == '%' || next == '#') break;
    }
    const std::string_view text = source_.substr(pos_, tag - pos_);
    if (tag >= source_.size()) {
      AddData(text);
      return Advance(text.size());
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    AddData(TextBeforeTag(text, sign, /*strips_line=*/kind != '{'));
    Advance(text.size());
    Advance(sign == '-' || sign == '+' ? 3 : 2);
    if (kind == '#') return Comment();
    if (kind == '{') return Tag(Token::Type::kVariableBegin, Token::Type::kVariableEnd, "}}");
    if (const size_t size = RawTagSize("raw", /*trims_line=*/false)) {
      Advance(size);
      return Raw();
    }
    Tag(Token::Type::kBlockBegin, Token::Type::kBlockEnd, "%}");
  }

  void AddData(std::string_view text) {
    if (!text.empty()) Add(Token::Type::kData, text);
  }

  // Returns what is left of the text in front of a tag. "-" strips all white space; without a sign,
  // white space between the line's beginning and a block or comment goes (lstrip_blocks).
  std::string_view TextBeforeTag(std::string_view text, char sign, bool strips_line) const {
    if (sign == '-') return Strip(text, Side::kRight);
    if (sign == '+' || !strips_line) return text;
    const size_t newline = text.rfind('\n');
    if (newline == std::string_view::npos && !line_starting_) return text;
    const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    return Strip(text.substr(line), Side::kLeft).empty() ? text.substr(0, line) : text;
  }

  // Returns the bytes of a tag's end at an offset, with the white space that it trims, or 0.
  // "-" trims all white space, a block or comment without a sign one newline (trim_blocks).
  size_t EndSize(size_t at, std::string_view end, bool plus, bool trims_line) const {
    const std::string_view rest = source_.substr(at);
    if (rest.starts_with('-') && rest.substr(1).starts_with(end)) {
      return 1 + end.size() + SpacesAt(at + 1 + end.size());
    }
    if (plus && rest.starts_with('+') && rest.substr(1).starts_with(end)) return 1 + end.size();
    if (!rest.starts_with(end)) return 0;
    return end.size() + (trims_line && rest.substr(end.size()).starts_with('\n') ? 1 : 0);
  }

  void Comment() {
    for (size_t at = pos_; at < source_.size(); ++at) {
      at = source_.find("#}", at);
      if (at == std::string_view::npos) break;
      const bool sign = at > pos_ && (source_[at - 1] == '-' || source_[at - 1] == '+');
      const size_t end = sign ? at - 1 : at;
      return Advance(end - pos_ + EndSize(end, "#}", /*plus=*/true, /*trims_line=*/true));
    }
    FailHere("Missing end of comment tag");
  }

  // Returns the bytes of "raw %}" or "endraw %}" here, behind "{%" and its sign, or 0.
  size_t RawTagSize(std::string_view word, bool trims_line) const {
    const size_t name = pos_ + SpacesAt(pos_);
    if (!source_.substr(name).starts_with(word)) return 0;
    const size_t end = name + word.size() + SpacesAt(name + word.size());
    const size_t size = EndSize(end, "%}", /*plus=*/trims_line, trims_line);
    return size == 0 ? 0 : end + size - pos_;
  }

  // Reads text up to {% endraw %} and the tag.
  void Raw() {
    const size_t begin = pos_;
    const int first_line = line_;
    const bool starting = line_starting_;
    for (size_t tag = source_.find("{%", pos_); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 1)) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      Advance(tag + (sign == '-' || sign == '+' ? 3 : 2) - pos_);
      const size_t size = RawTagSize("endraw", /*trims_line=*/true);
      if (size == 0) {
        if (pos_ > tag + 2) pos_ = tag + 2;  // the sign may begin the next tag's text
        continue;
      }
      const int last_line = std::exchange(line_, first_line);
      line_starting_ = starting;
      AddData(TextBeforeTag(source_.substr(begin, tag - begin), sign, /*strips_line=*/true));
      line_ = last_line;
      return Advance(size);
    }
    line_ = first_line;
    FailHere("Missing end of raw directive");
  }

  // Reads the tokens of a tag up to its end.
  void Tag(Token::Type begin, Token::Type end, std::string_view closing) {
    Add(begin, "");
    std::string open;  // brackets that wait for their closing ones
    const bool is_block = begin == Token::Type::kBlockBegin;
    while (pos_ < source_.size()) {
      // An end within brackets belongs to operators: {{ {'a': {'b': 1}} }}.
      if (open.empty()) {
        const size_t size = EndSize(pos_, closing, is_block, is_block);
        if (size != 0) {
          Add(end, "");
          return Advance(size);
        }
      }
      if (const size_t spaces = SpacesAt(pos_)) {
        Advance(spaces);
      } else if (!Number() && !Name() && !StringLiteral() && !Operator(&open)) {
        size_t next = pos_;
        NextCodePoint(source_, &next);
        FailHere(fmt::format("unexpected char {} at {}",
                             ReprOfString(source_.substr(pos_, next - pos_)),
                             CodePoints(source_.substr(0, pos_))));
      }
    }
  }

  // Returns the offset behind digits that single underscores may separate; `at` if there are none.
  template <typename IsDigitOf>
  size_t SkipDigits(size_t at, IsDigitOf is_digit) const {
    const auto is = [&](size_t i) { return i < source_.size() && is_digit(source_[i]); };
    if (!is(at)) return at;
    for (++at; is(at) || (at < source_.size() && source_[at] == '_' && is(at + 1));) ++at;
    return at;
  }

  static bool IsDecimalDigit(char c) { return c >= '0' && c <= '9'; }

  // Returns the offset behind a float here, or 0.
  size_t FloatEnd() const {
    if (pos_ > 0 && source_[pos_ - 1] == '.') return 0;
    const size_t whole = SkipDigits(pos_, IsDecimalDigit);
    if (whole == pos_) return 0;
    size_t fraction = whole;
    if (whole < source_.size() && source_[whole] == '.') {
      fraction = SkipDigits(whole + 1, IsDecimalDigit);
      if (fraction == whole + 1) fraction = whole;
    }
    size_t exponent = fraction;
    if (exponent < source_.size() && (source_[exponent] | 0x20) == 'e') {
      ++exponent;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) {
        ++exponent;
      }
      const size_t end = SkipDigits(exponent, IsDecimalDigit);
      if (end != exponent) return end;
    }
    return fraction != whole ? fraction : 0;
  }

  // Returns the offset behind an integer here, or 0.
  size_t IntegerEnd() const {
    if (!IsDecimalDigit(source_[pos_])) return 0;
    if (source_[pos_] != '0') return SkipDigits(pos_, IsDecimalDigit);
    const char letter =
        pos_ + 1 < source_.size() ? static_cast<char>(source_[pos_ + 1] | 0x20) : '\0';
    size_t digits = pos_ + 2;
    if (digits < source_.size() && source_[digits] == '_') ++digits;
    size_t end = digits;
    if (letter == 'x') {
      end = SkipDigits(digits, [](char c) { return std::isxdigit(static_cast<unsigned char>(c)); });
    } else if (letter == 'o') {
      end = SkipDigits(digits, [](char c) { return c >= '0' && c <= '7'; });
    } else if (letter == 'b') {
      end = SkipDigits(digits, [](char c) { return c == '0' || c == '1'; });
    }
    if (end != digits) return end;
    return SkipDigits(pos_, [](char c) { return c == '0'; });
  }

  bool Number() {
    if (const size_t end = FloatEnd()) {
      Add(Token::Type::kFloat, source_.substr(pos_, end - pos_));
      tokens_.back().number = Value::Float(FloatOfText(tokens_.back().text).value_or(0));
      Advance(end - pos_);
      return true;
    }
    const size_t end = IntegerEnd();
    if (end == 0) return false;
    const std::string_view text = source_.substr(pos_, end - pos_);
    Add(Token::Type::kInteger, text);
    try {
      tokens_.back().number = IntOfText(runtime_, text, 0).value_or(Value::Int(0));
    } catch (TemplateError& error) {
      error.set_line(line_);
      throw;
    }
    Advance(end - pos_);
    return true;
  }

  bool Name() {
    size_t end = pos_;
    while (end < source_.size()) {
      size_t next = end;
      if (!IsWordCharacter(NextCodePoint(source_, &next))) break;
      end = next;
    }
    if (end == pos_) return false;
    const std::string_view name = source_.substr(pos_, end - pos_);
    if (!IsIdentifier(name)) FailHere("Invalid character in identifier");
    Add(Token::Type::kName, name);
    Advance(name.size());
    return true;
  }

  bool StringLiteral() {
    const char quote = source_[pos_];
    if (quote != '\'' && quote != '"') return false;
    size_t end = pos_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return false;
    Add(Token::Type::kString, "");
    try {
      tokens_.back().text = UnescapeString(source_.substr(pos_ + 1, end - pos_ - 1));
    } catch (TemplateError& error) {
      error.set_line(line_);
      throw;
    }
    Advance(end + 1 - pos_);
    return true;
  }

  bool Operator(std::string* open) {
    const auto* const symbol = std::find_if(kOperators.begin(), kOperators.end(),
                                            [&](std::string_view text) { return At(text); });
    if (symbol == kOperators.end()) return false;
    const char c = symbol->front();
    if (c == '(') *open += ')';
    if (c == '[') *open += ']';
    if (c == '{') *open += '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open->empty()) FailHere(fmt::format("unexpected '{}'", c));
      if (open->back() != c) {
        FailHere(fmt::format("unexpected '{}', expected '{}'", c, open->back()));
      }
      open->pop_back();
    }
    Add(Token::Type::kOperator, *symbol);
    Advance(symbol->size());
    return true;
  }

  std::string_view source_;
  size_t pos_ = 0;
  int line_ = 1;
  // Whether the last token ended a line, so that what follows begins one.
  bool line_starting_ = true;
  std::vector<Token> tokens_;
  Runtime runtime_{Runtime::Time()};  // for the constants' limits
};

}  // namespace

std::vector<Token> Tokenize(std::string_view source) {
  const std::string normalized = NormalizeNewlines(source);
  return Lexer(normalized).Run();
}

}  // namespace sinter::text::jinja

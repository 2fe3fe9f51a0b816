#include "text/regex_syntax.h"

#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace sinter::text {
namespace {

constexpr int kMaxSetDepth = 16;

// Contents of sets, without their brackets.
constexpr std::string_view kSpace = R"(\p{White_Space})";
constexpr std::string_view kNotSpace = R"(\P{White_Space})";
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kHex = "0-9A-Fa-f";

bool IsHexDigit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string Run() {
    if (pattern_.starts_with("(*")) {
      throw Error("tokenizer", "pattern \"{}\": got a leading (*VERB), want a plain expression",
                  Excerpt(pattern_));
    }
    std::string out;
    while (pos_ < pattern_.size()) {
      const char c = pattern_[pos_];
      if (c == '{' && Quantifier(&out)) continue;
      // A UTF-8 continuation byte belongs to the atom that its character began.
      if ((static_cast<uint8_t>(c) & 0xC0) != 0x80 && c != ')') atom_ = out.size();
      if (c == '\\') {
        Escape(&out);
      } else if (c == '[') {
        out += Set(0);
      } else if (c == '(') {
        groups_.push_back(out.size());
        if (Rest().starts_with("(?")) {
          GroupFlags(&out);
        } else {
          out += c;
          ++pos_;
        }
        // A group of flags only, such as (?i), is already closed.
        if (out.back() == ')') groups_.pop_back();
      } else {
        if (c == ')' && !groups_.empty()) {
          atom_ = groups_.back();
          groups_.pop_back();
        }
        out += c;
        ++pos_;
      }
    }
    return out;
  }

 private:
  std::string_view Rest() const { return pattern_.substr(pos_); }

  // Translates \uHHHH, \p{...} and plain escapes, which mean the same inside and outside a set.
  void CommonEscape(std::string* out) {
    const std::string_view rest = Rest();
    if (rest.size() >= 6 && rest[1] == 'u' && IsHexDigit(rest[2]) && IsHexDigit(rest[3]) &&
        IsHexDigit(rest[4]) && IsHexDigit(rest[5])) {
      *out += fmt::format("\\x{{{}}}", rest.substr(2, 4));
      pos_ += 6;
      return;
    }
    size_t length = std::min<size_t>(2, rest.size());
    if (rest.size() > 2 && (rest[1] == 'p' || rest[1] == 'P' || rest[1] == 'x') && rest[2] == '{') {
      const size_t close = rest.find('}');
      length = close == std::string_view::npos ? rest.size() : close + 1;
    }
    *out += rest.substr(0, length);
    pos_ += length;
  }

  void Escape(std::string* out) {
    std::string_view set;
    bool negated = false;
    switch (pos_ + 1 < pattern_.size() ? pattern_[pos_ + 1] : '\0') {
      case 's':
        set = kSpace;
        break;
      case 'S':
        set = kSpace, negated = true;
        break;
      case 'w':
        set = kWord;
        break;
      case 'W':
        set = kWord, negated = true;
        break;
      case 'h':
        set = kHex;
        break;
      case 'H':
        set = kHex, negated = true;
        break;
      default:
        return CommonEscape(out);
    }
    *out += fmt::format("[{}{}]", negated ? "^" : "", set);
    pos_ += 2;
  }

  // Translates an interval: `{,n}`, and a `+` after an interval, which in Oniguruma repeats it
  // instead of making it possessive. Returns false if there is no interval at pos_.
  bool Quantifier(std::string* out) {
    size_t i = pos_ + 1;
    const auto digits = [&] {
      const size_t begin = i;
      while (i < pattern_.size() && pattern_[i] >= '0' && pattern_[i] <= '9') ++i;
      return pattern_.substr(begin, i - begin);
    };
    const std::string_view low = digits();
    bool comma = false;
    std::string_view high;
    if (i < pattern_.size() && pattern_[i] == ',') {
      comma = true;
      ++i;
      high = digits();
    }
    if (i >= pattern_.size() || pattern_[i] != '}' || (low.empty() && high.empty())) return false;
    *out += fmt::format("{{{}{}{}}}", low.empty() ? "0" : low, comma ? "," : "", high);
    pos_ = i + 1;
    if (pos_ < pattern_.size() && pattern_[pos_] == '+') {
      out->insert(atom_, "(?:");
      *out += ")+";
      ++pos_;
    }
    return true;
  }

  // Translates the flags of a group. In Oniguruma the flag m lets the dot match newlines; PCRE2
  // calls this flag s.
  void GroupFlags(std::string* out) {
    size_t end = pos_ + 2;
    while (end < pattern_.size() &&
           std::string_view("imxsa-").find(pattern_[end]) != std::string_view::npos)
      ++end;
    const bool flags = end < pattern_.size() && (pattern_[end] == ':' || pattern_[end] == ')');
    if (!flags) end = pos_ + 2;
    for (; pos_ < end; ++pos_) *out += pattern_[pos_] == 'm' ? 's' : pattern_[pos_];
  }

  // Operand of an intersection: plain set items, and expressions that match one character each.
  struct Operand {
    std::string items;
    std::vector<std::string> parts;

    std::string Expression() const {
      if (parts.empty()) {
        if (items.empty()) return "(?!)";
        return fmt::format("[{}{}]", items[0] == '^' ? "\\" : "", items);
      }
      std::string out = "(?:";
      if (!items.empty()) out += fmt::format("[{}{}]|", items[0] == '^' ? "\\" : "", items);
      for (const std::string& part : parts) out += part + "|";
      out.back() = ')';
      return out;
    }
  };

  // Translates the set that begins at pos_ into an expression that matches exactly one character.
  std::string Set(int depth) {
    if (depth > kMaxSetDepth) {
      throw Error("tokenizer", "pattern \"{}\": sets are nested more than {} deep",
                  Excerpt(pattern_), kMaxSetDepth);
    }
    ++pos_;
    const bool negated = pos_ < pattern_.size() && pattern_[pos_] == '^';
    if (negated) ++pos_;
    std::vector<Operand> operands(1);
    for (bool first = true;; first = false) {
      if (pos_ >= pattern_.size()) {
        throw Error("tokenizer", "pattern \"{}\": got a set without end, want a closing ]",
                    Excerpt(pattern_));
      }
      Operand& operand = operands.back();
      const char c = pattern_[pos_];
      if (c == ']' && !first) {
        ++pos_;
        break;
      }
      if (c == '[' && Rest().starts_with("[:") && Rest().find(":]") != std::string_view::npos) {
        const size_t length = Rest().find(":]") + 2;
        operand.items += Rest().substr(0, length);
        pos_ += length;
      } else if (c == '[') {
        operand.parts.push_back(Set(depth + 1));
      } else if (Rest().starts_with("&&")) {
        operands.emplace_back();
        pos_ += 2;
      } else if (c == '\\') {
        EscapeInSet(&operand);
      } else {
        operand.items += c;
        ++pos_;
      }
    }
    if (operands.size() == 1 && operands[0].parts.empty()) {
      if (negated) return fmt::format("[^{}]", operands[0].items);
      return operands[0].Expression();
    }
    std::string all = "(?:";
    for (size_t i = 0; i + 1 < operands.size(); ++i)
      all += fmt::format("(?={})", operands[i].Expression());
    all += operands.back().Expression() + ")";
    return negated ? fmt::format("(?:(?!{})(?s:.))", all) : all;
  }

  void EscapeInSet(Operand* operand) {
    switch (pos_ + 1 < pattern_.size() ? pattern_[pos_ + 1] : '\0') {
      case 's':
        operand->items += kSpace;
        break;
      case 'S':
        operand->items += kNotSpace;
        break;
      case 'w':
        operand->items += kWord;
        break;
      case 'W':
        operand->parts.push_back(fmt::format("[^{}]", kWord));
        break;
      case 'h':
        operand->items += kHex;
        break;
      case 'H':
        operand->parts.push_back(fmt::format("[^{}]", kHex));
        break;
      default:
        return CommonEscape(&operand->items);
    }
    pos_ += 2;
  }

  std::string_view pattern_;
  size_t pos_ = 0;
  size_t atom_ = 0;             // offset in the output of the last atom, which a quantifier repeats
  std::vector<size_t> groups_;  // offsets in the output of the open groups
};

}  // namespace

std::string OnigurumaToPcre2(std::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace sinter::text

#include "text/chat_template_guard.h"

#include <algorithm>

#include "base/error.h"

namespace sinter::text {
namespace {

constexpr size_t kMaxSourceBytes = 1 << 20;
// Upper bound on the code of one tag, without string literals. The longest tag in use has a few
// hundred bytes of code.
constexpr size_t kMaxTagCodeBytes = 4096;
constexpr int kMaxBrackets = 64;
constexpr int kMaxBlocks = 64;
// Upper bound on the words `not` and `else` in one tag: `not not ...` and `a if b else c if ...`
// make minja recurse without brackets.
constexpr int kMaxRecursiveWords = 64;

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Guard {
 public:
  explicit Guard(std::string_view source) : source_(source) {}

  std::string Run() {
    if (source_.size() > kMaxSourceBytes) {
      throw Error("chat_template", "template: got {} bytes, want at most {}", source_.size(),
                  kMaxSourceBytes);
    }
    while (pos_ < source_.size()) {
      const size_t open = source_.find('{', pos_);
      if (open == std::string_view::npos || open + 1 == source_.size()) break;
      const char kind = source_[open + 1];
      if (kind == '#') {
        Comment(open);
      } else if (kind == '{' || kind == '%') {
        Tag(open, kind == '{' ? "}}" : "%}", kind == '%');
      } else {
        Copy(open + 1);
      }
    }
    Copy(source_.size());
    return std::move(out_);
  }

 private:
  void Copy(size_t end) {
    out_ += source_.substr(pos_, end - pos_);
    pos_ = end;
  }

  void Comment(size_t open) {
    size_t begin = open + 2;
    const size_t close = source_.find("#}", begin);
    if (close == std::string_view::npos) {
      throw Error("chat_template",
                  "template: got a comment without end at byte {}, want a closing #}}", open);
    }
    const auto trims = [&](size_t i) { return source_[i] == '-' || source_[i] == '~'; };
    if (begin < close && trims(begin)) ++begin;
    Copy(begin);
    pos_ = begin < close && trims(close - 1) ? close - 1 : close;
    Copy(close + 2);
  }

  // Returns the word that begins at i.
  std::string_view Word(size_t i) const {
    size_t end = i;
    while (end < source_.size() && IsNameCharacter(source_[end])) ++end;
    return source_.substr(i, end - i);
  }

  void CountBlock(std::string_view keyword, size_t open) {
    if (keyword.starts_with("end")) {
      --blocks_;
    } else if (keyword == "if" || keyword == "for" || keyword == "macro" || keyword == "filter" ||
               keyword == "call" || keyword == "set" || keyword == "block" ||
               keyword == "generation") {
      // A {% set %} with a value has no end tag: Tag() takes this count back.
      ++blocks_;
    }
    if (blocks_ > kMaxBlocks) {
      throw Error("chat_template", "template: got more than {} nested blocks at byte {}",
                  kMaxBlocks, open);
    }
  }

  void Tag(size_t open, std::string_view close, bool is_block) {
    size_t code_bytes = 0;
    int brackets = 0;
    int words = 0;
    std::string_view keyword;
    bool assigns = false;
    for (size_t i = open + 2; i < source_.size();) {
      const char c = source_[i];
      if (brackets <= 0 && source_.substr(i).starts_with(close)) {
        if (is_block) {
          CountBlock(keyword, open);
          if (keyword == "set" && assigns) --blocks_;
        }
        Copy(i + 2);
        return;
      }
      if (c == '"' || c == '\'') {
        ++i;
        while (i < source_.size() && source_[i] != c) i += source_[i] == '\\' ? 2 : 1;
        ++i;
        continue;
      }
      if (c == '(' || c == '[' || c == '{') ++brackets;
      if (c == ')' || c == ']' || c == '}') --brackets;
      if (c == '=' && brackets == 0) assigns = true;
      size_t length = 1;
      if (IsNameCharacter(c)) {
        const std::string_view word = Word(i);
        length = word.size();
        if (keyword.empty()) keyword = word;
        if (word == "not" || word == "else") ++words;
      }
      i += length;
      code_bytes += length;
      if (brackets > kMaxBrackets || words > kMaxRecursiveWords || code_bytes > kMaxTagCodeBytes) {
        throw Error("chat_template",
                    "template: got a tag at byte {} with more than {} bytes of code, {} nested "
                    "brackets or {} chained "
                    "words",
                    open, kMaxTagCodeBytes, kMaxBrackets, kMaxRecursiveWords);
      }
    }
    throw Error("chat_template", "template: got a tag without end at byte {}, want a closing {}",
                open, close);
  }

  std::string_view source_;
  size_t pos_ = 0;
  int blocks_ = 0;
  std::string out_;
};

}  // namespace

std::string GuardTemplate(std::string_view source) { return Guard(source).Run(); }

}  // namespace sinter::text

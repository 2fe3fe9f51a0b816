// Defines the patterns that Split and Replace search for: a literal string or a regular expression
// (PCRE2, UTF-8, Unicode properties).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_fields.h"

namespace sinter::text {

// Range [begin, end) of a text in bytes: one match, or the text between two matches. The segments
// of a text cover it without gaps.
struct Segment {
  size_t begin;
  size_t end;
  bool is_match;
};

// Literal or regular expression. Immutable and cheap to copy; matching is safe from several threads
// at once.
class Pattern {
 public:
  static Pattern Literal(std::string literal);
  // Compiles an expression in Oniguruma syntax. Throws Error if it does not compile.
  static Pattern Regex(std::string_view expression);
  // Reads the field `key` of a component: {"String": "..."}, {"Regex": "..."}, or a bare string,
  // which is a literal. Throws Error on anything else.
  static Pattern FromJson(const Json& object, const char* key, std::string_view component);

  // Returns the segments of valid UTF-8. An empty literal matches nowhere; an expression may match
  // the empty string. Throws Error if matching exceeds its limits on steps, memory or time, so no
  // pattern can hang or exhaust the process.
  std::vector<Segment> FindSegments(std::string_view text) const;

  // Returns `text` with every match replaced. Throws Error if the result exceeds `max_bytes`.
  std::string Replace(std::string_view text, std::string_view content, size_t max_bytes) const;

  // Returns the literal, or null for an expression.
  const std::string* literal() const { return code_ ? nullptr : &source_; }

 private:
  explicit Pattern(std::string source) : source_(std::move(source)) {}

  std::string source_;
  std::shared_ptr<const void> code_;  // pcre2_code; null for a literal
};

}  // namespace sinter::text

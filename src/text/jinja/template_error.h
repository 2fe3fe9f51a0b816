// The error of a template: a syntax error, or what went wrong while it was rendered.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace sinter::text::jinja {

// Exception of the lexer, the parser and the evaluation. The texts are Python's and Jinja's own
// where these have one ("'x' is undefined").
class TemplateError : public std::runtime_error {
 public:
  explicit TemplateError(const std::string& message, int line = 0)
      : std::runtime_error(message), line_(line) {}

  // Line of the template, counted from 1; 0 if it is not known yet.
  int line() const { return line_; }
  void set_line(int line) { line_ = line; }

 private:
  int line_;
};

template <typename... Args>
[[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sinter::text::jinja

// Errors caused by the user or the environment: a wrong file, a shape, a missing feature, too
// little memory.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace sinter {

// Exception that public calls throw. The text has the form `[area] what: got X, want Y` and can be
// shown to the user unchanged.
class Error : public std::runtime_error {
 public:
  template <typename... Args>
  Error(std::string_view area, fmt::format_string<Args...> format, Args&&... args)
      : Error(Raw{}, area, fmt::format(format, std::forward<Args>(args)...)) {}

  // Makes an error whose text quotes another program that writes several lines: a shader compiler
  // or a driver.
  template <typename... Args>
  static Error MultiLine(std::string_view area, fmt::format_string<Args...> format,
                         Args&&... args) {
    return {Raw{}, area, fmt::format(format, std::forward<Args>(args)...), /*multi_line=*/true};
  }

  // Part of Sinter or of the environment that the error is about: `onnx`, `gpu`, `tokenizer`.
  const std::string& area() const { return area_; }
  // Whether newlines in the text separate its lines. In all other errors a newline can only come
  // from a name in a file, so it should be shown escaped.
  bool multi_line() const { return multi_line_; }

 protected:
  struct Raw {};
  Error(Raw, std::string_view area, const std::string& message, bool multi_line = false)
      : std::runtime_error(fmt::format("[{}] {}", area, message)),
        area_(area),
        multi_line_(multi_line) {}

 private:
  std::string area_;
  bool multi_line_;
};

// Error thrown when the GPU is lost (driver reset, device unplugged, timeout). The Device is
// unusable afterwards; a new one may work. The driver's message may have several lines.
class DeviceLostError : public Error {
 public:
  explicit DeviceLostError(const std::string& message)
      : Error(Raw{}, "gpu", message, /*multi_line=*/true) {}
};

}  // namespace sinter

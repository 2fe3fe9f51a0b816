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

  // Part of Sinter or of the environment that the error is about: `onnx`, `gpu`, `tokenizer`.
  const std::string& area() const { return area_; }

 protected:
  struct Raw {};
  Error(Raw, std::string_view area, const std::string& message)
      : std::runtime_error(fmt::format("[{}] {}", area, message)), area_(area) {}

 private:
  std::string area_;
};

// Error thrown when the GPU is lost (driver reset, device unplugged, timeout). The Device is
// unusable afterwards; a new one may work.
class DeviceLostError : public Error {
 public:
  explicit DeviceLostError(const std::string& message) : Error(Raw{}, "gpu", message) {}
};

}  // namespace sinter

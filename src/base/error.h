// Errors that are the user's or the environment's fault: a wrong file, a shape, a missing feature,
// no memory.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace sinter {

// What a public call throws. The text reads `[area] what: got X, want Y`, so that it can be shown
// as it is.
class Error : public std::runtime_error {
 public:
  template <typename... Args>
  Error(std::string_view area, fmt::format_string<Args...> format, Args&&... args)
      : Error(Raw{}, area, fmt::format(format, std::forward<Args>(args)...)) {}

  // The part of Sinter or of the environment that the error is about: `onnx`, `gpu`, `tokenizer`.
  const std::string& area() const { return area_; }

 protected:
  struct Raw {};
  Error(Raw, std::string_view area, const std::string& message)
      : std::runtime_error(fmt::format("[{}] {}", area, message)), area_(area) {}

 private:
  std::string area_;
};

// The GPU went away (driver reset, unplugged, out of time). The Device is unusable from then on; a
// new one may work.
class DeviceLostError : public Error {
 public:
  explicit DeviceLostError(const std::string& message) : Error(Raw{}, "gpu", message) {}
};

}  // namespace sinter

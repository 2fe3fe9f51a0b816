// Name of the model that is being read, for error messages.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "onnx/names.h"

namespace sinter::onnx {

class Source {
 public:
  explicit Source(std::string name) : name_(std::move(name)) {}

  // Throws Error("onnx") with the model's name before the message.
  template <typename... Args>
  [[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("onnx", "{}: {}", name_, fmt::format(format, std::forward<Args>(args)...));
  }

  // Returns the name if it is printable; throws Error("onnx") otherwise. Every name passes through
  // here on its way into the graph, so that messages and JSON can contain it.
  std::string_view Checked(std::string_view name) const {
    if (!IsPrintableName(name))
      Fail("a name: got '{}', want UTF-8 without control characters", EscapeName(name));
    return name;
  }

 private:
  std::string name_;
};

}  // namespace sinter::onnx

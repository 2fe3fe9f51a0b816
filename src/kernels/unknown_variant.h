// Error for a forced variant that a kernel does not have.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace sinter::kernels {

// Error thrown when a plan is asked for a variant that the kernel does not have for this shape on
// this device. It knows the variants that the kernel has.
class UnknownVariant : public Error {
 public:
  UnknownVariant(std::string_view area, std::string_view text, std::string variant,
                 std::vector<std::string> known)
      : Error(area, "{}", text), variant_(std::move(variant)), known_(std::move(known)) {}

  const std::string& variant() const { return variant_; }
  const std::vector<std::string>& known() const { return known_; }

 private:
  std::string variant_;
  std::vector<std::string> known_;
};

}  // namespace sinter::kernels

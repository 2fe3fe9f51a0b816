// SINTER_CHECK: an assertion about Sinter itself. A failure is a bug in Sinter, never the user's
// fault; it throws BugError.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace sinter {

// Exception that a failed SINTER_CHECK throws, so that an embedding application survives the bug
// and can report it.
class BugError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void FailCheck(const char* file, int line, const char* condition,
                            const std::string& message = {});

}  // namespace sinter

#define SINTER_CHECK(condition, ...)                                            \
  do {                                                                          \
    if (!(condition)) [[unlikely]] {                                            \
      ::sinter::FailCheck(__FILE__, __LINE__,                                   \
                          #condition __VA_OPT__(, ::fmt::format(__VA_ARGS__))); \
    }                                                                           \
  } while (false)

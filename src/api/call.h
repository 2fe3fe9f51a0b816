// Code that all functions of the C library share: it turns exceptions into statuses, and reads
// structs that come from programs of other versions.
#pragma once

#include <sinter/sinter.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/error.h"

// Error of one call, owned by the caller.
struct sinter_error {
  sinter_status status = SINTER_OK;
  std::string message;
};

namespace sinter::api {

// An argument or an option that is wrong whatever the model and the machine.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

// Ends a load because the caller's callback wanted it.
class Cancelled : public std::exception {
 public:
  const char* what() const noexcept override { return "[api] load: got a stop from the callback"; }
};

// Returns the status of the exception being handled, and hands its message to the caller.
sinter_status Failed(sinter_error** error) noexcept;

// Runs `call` and returns SINTER_OK or what it returns, or the status of its exception.
template <typename F>
sinter_status Guard(sinter_error** error, F&& call) noexcept {
  if (error != nullptr) *error = nullptr;
  try {
    if constexpr (std::is_same_v<decltype(call()), sinter_status>) {
      return call();
    } else {
      call();
      return SINTER_OK;
    }
  } catch (...) {
    return Failed(error);
  }
}

// Returns what the pointer points to. Throws InvalidArgument for NULL.
template <typename T>
T& Required(T* pointer, std::string_view name) {
  if (pointer == nullptr)
    throw InvalidArgument("api", "{}: got NULL, want a pointer to something", name);
  return *pointer;
}

inline void RequireMemory(const void* pointer, std::string_view name) {
  if (pointer == nullptr) throw InvalidArgument("api", "{}: got NULL, want memory", name);
}

// Returns the size that a caller gave for its struct. Throws InvalidArgument if there is none.
inline size_t CheckedSize(size_t size, size_t known, std::string_view name) {
  // No version of a struct ends inside a pointer.
  if (size < sizeof(size_t) || size % alignof(void*) != 0)
    throw InvalidArgument("api", "{}.size: got {}, want the size of the struct ({})", name, size,
                          known);
  return size;
}

// Returns the options of a caller, with defaults for what its version of the struct lacks, or the
// defaults for NULL.
template <typename T>
T ReadOptions(const T* given, const T& defaults, std::string_view name) {
  if (given == nullptr) return defaults;
  const size_t size = CheckedSize(given->size, sizeof(T), name);
  T options = defaults;
  std::memcpy(&options, given, std::min(size, sizeof(T)));
  options.size = sizeof(T);
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (size_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] != 0) {
      throw InvalidArgument("api",
                            "{}: got an option that this version ({}) does not know, want a "
                            "struct of {} bytes",
                            name, sinter_version(), sizeof(T));
    }
  }
  return options;
}

// Writes as much of `info` as the caller's version of the struct has, and zeros to what is longer.
template <typename T>
void WriteInfo(T* out, T info, std::string_view name) {
  const size_t size = CheckedSize(Required(out, name).size, sizeof(T), name);
  info.size = size;
  std::memcpy(out, &info, std::min(size, sizeof(T)));
  if (size > sizeof(T)) std::memset(reinterpret_cast<char*>(out) + sizeof(T), 0, size - sizeof(T));
}

}  // namespace sinter::api

// Checks of the fuzz targets.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace sinter {

// Ends the process, which libFuzzer reports with the input, unless the condition holds.
inline void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// Requires that an error for a file of a few kilobytes belongs to the reader, and that its text
// quotes only a part of what it found.
inline void RequireErrorOf(const Error& error, std::string_view area) {
  Require(error.area() == area, error.what());
  Require(std::string_view(error.what()).size() < 2000, "the error's text is not short");
}

}  // namespace sinter

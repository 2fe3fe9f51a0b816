// Text of one compute shader, ready for a WGSL compiler.
#pragma once

#include <string>

#include "wgsl/preprocessor.h"

namespace sinter::wgsl {

struct Shader {
  // Unique name: shaders with the same label share one pipeline.
  std::string label;
  ExpandedWgsl source;
};

}  // namespace sinter::wgsl

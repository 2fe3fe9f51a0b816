// One compute shader's text, ready for a WGSL compiler.
#pragma once

#include <string>

#include "wgsl/preprocessor.h"

namespace sinter::wgsl {

struct Shader {
  // Unique name: two shaders of one label are the same pipeline.
  std::string label;
  ExpandedWgsl source;
};

}  // namespace sinter::wgsl

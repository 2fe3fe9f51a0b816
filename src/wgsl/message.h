// Maps messages of a WGSL compiler from expanded WGSL to its source files.
#pragma once

#include <string>
#include <string_view>

#include "wgsl/preprocessor.h"

namespace sinter::wgsl {

// Returns `message` with every `:LINE:COL` of the expanded source replaced by `file:LINE:COL` of
// the original file. If the message does not quote the line, appends the line and a caret.
std::string MapMessage(const ExpandedWgsl& wgsl, std::string_view message);

}  // namespace sinter::wgsl

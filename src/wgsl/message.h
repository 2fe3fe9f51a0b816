// Messages of a WGSL compiler about expanded WGSL.
#pragma once

#include <string>
#include <string_view>

#include "wgsl/preprocessor.h"

namespace sinter::wgsl {

// Returns `message` with every `:LINE:COL` of the expanded source turned into `file:LINE:COL` of
// the file that was written. Where the message does not quote the line, the line and a caret
// follow.
std::string MapMessage(const ExpandedWgsl& wgsl, std::string_view message);

}  // namespace sinter::wgsl

// Checks on names that come from a model file.
#pragma once

#include <string>
#include <string_view>

namespace sinter::onnx {

// Returns whether the name can be printed and written as JSON: valid UTF-8 (RFC 3629) without
// control characters.
bool IsPrintableName(std::string_view name);

// Returns the name for an error message: all bytes but printable ASCII become \xNN, and "..."
// replaces what follows the first 80 bytes.
std::string EscapeName(std::string_view name);

}  // namespace sinter::onnx

// Names out of a model file.
#pragma once

#include <string>
#include <string_view>

namespace sinter::onnx {

// Whether the name can be printed and written as JSON: valid UTF-8 (RFC 3629) without control
// characters.
bool IsPrintableName(std::string_view name);

// The name with everything but printable ASCII as \xNN, for the error about it.
std::string EscapeName(std::string_view name);

}  // namespace sinter::onnx

#include "onnx/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace sinter::onnx {

bool IsPrintableName(std::string_view name) {
  for (size_t i = 0; i < name.size();) {
    const auto lead = static_cast<uint8_t>(name[i]);
    if (lead < 0x20 || lead == 0x7f) return false;
    const int length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 ||
        name.size() - i < static_cast<size_t>(length))
      return false;
    uint32_t code = length == 1 ? lead : lead & (0x7f >> length);
    for (int k = 1; k < length; ++k) {
      const auto next = static_cast<uint8_t>(name[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3f);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    const bool control = code >= 0x80 && code < 0xa0;
    if (overlong || surrogate || control || code > 0x10ffff) return false;
    i += length;
  }
  return true;
}

std::string EscapeName(std::string_view name) {
  // A damaged name may be as long as the whole file, so the text is cut.
  constexpr size_t kMaxBytes = 80;
  std::string out;
  for (const char c : name.substr(0, kMaxBytes)) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return name.size() > kMaxBytes ? out + "..." : out;
}

}  // namespace sinter::onnx

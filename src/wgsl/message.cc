#include "wgsl/message.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "wgsl/text.h"

namespace sinter::wgsl {
namespace {

std::string_view LineOf(std::string_view text, uint32_t number) {
  for (; number > 1; --number) TakeLine(text);
  return TakeLine(text);
}

}  // namespace

std::string MapMessage(const ExpandedWgsl& wgsl, std::string_view message) {
  std::string out;
  for (std::string_view rest = message; !rest.empty();) {
    const bool ends_line = rest.find('\n') != std::string_view::npos;
    const std::string_view line = TakeLine(rest);
    std::string quoted;
    for (size_t at = 0; at < line.size();) {
      // Matches `:LINE:COL` that has no file name before it.
      uint32_t number = 0, column = 0;
      const char* const end = line.data() + line.size();
      const char* after = nullptr;
      if (line[at] == ':' && (at == 0 || !IsWord(line[at - 1]))) {
        const auto first = std::from_chars(line.data() + at + 1, end, number);
        if (first.ec == std::errc() && first.ptr != end && *first.ptr == ':') {
          const auto second = std::from_chars(first.ptr + 1, end, column);
          if (second.ec == std::errc()) after = second.ptr;
        }
      }
      if (after == nullptr || number == 0 || number > wgsl.origins.size()) {
        out.push_back(line[at++]);
        continue;
      }
      const ExpandedWgsl::Origin origin = wgsl.origins[number - 1];
      out += fmt::format("{}:{}:{}", wgsl.files[origin.file], origin.line, column);
      const std::string_view source = LineOf(wgsl.source, number);
      if (rest.find(Trim(source)) == std::string_view::npos) {
        quoted += fmt::format("\n{}\n{:>{}}", source, '^', std::max(column, 1u));
      }
      at = after - line.data();
    }
    out += quoted;
    if (ends_line) out.push_back('\n');
  }
  return out;
}

}  // namespace sinter::wgsl

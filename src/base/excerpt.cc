#include "base/excerpt.h"

#include <fmt/format.h>

#include <algorithm>

namespace sinter {
namespace {

// Returns the largest position up to `at` that is between two UTF-8 characters.
size_t CharacterBoundary(std::string_view text, size_t at) {
  // Continuation bytes are 10xxxxxx; a character has at most three.
  for (int i = 0;
       i < 3 && at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
       ++i) {
    --at;
  }
  return at;
}

}  // namespace

std::string Excerpt(std::string_view text, size_t max_bytes) {
  const size_t end = CharacterBoundary(text, std::min(text.size(), max_bytes));
  std::string excerpt;
  for (const char c : text.substr(0, end)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      excerpt += fmt::format("\\x{:02x}", byte);
    } else {
      excerpt += c;
    }
  }
  if (end < text.size()) excerpt += fmt::format("... ({} bytes)", text.size());
  return excerpt;
}

std::string CutMiddle(std::string_view message, size_t max_bytes) {
  if (message.size() <= max_bytes) return std::string(message);
  const std::string mark = fmt::format(" ... ({} bytes in all) ... ", message.size());
  const size_t kept = max_bytes - std::min(max_bytes, mark.size());
  const size_t begin = CharacterBoundary(message, kept - kept / 2);
  const size_t end =
      CharacterBoundary(message, std::min(message.size() - kept / 2 + 3, message.size()));
  return fmt::format("{}{}{}", message.substr(0, begin), mark, message.substr(end));
}

}  // namespace sinter

// Shortens text of files for error messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sinter {

// Returns the text if it is short, else its beginning and its length: `abc... (1000000 bytes)`.
// Error messages quote names and values of files this way. Cuts between UTF-8 characters, and
// writes control characters as \xNN.
std::string Excerpt(std::string_view text, size_t max_bytes = 100);

// Returns a message of at most `max_bytes`. A longer one keeps its beginning, which says where the
// error is, and its end, which says what would be right. Cuts between UTF-8 characters.
std::string CutMiddle(std::string_view message, size_t max_bytes = 2000);

}  // namespace sinter

// Texts as words of a POSIX shell's command line.
#pragma once

#include <string>
#include <string_view>

namespace sinter::cli {

// Returns the text in single quotes.
std::string ShellQuoted(std::string_view text);

// Returns the text as one word, quoted only if it needs that.
std::string ShellWord(std::string_view text);

}  // namespace sinter::cli

// Finds the name that a mistyped word most likely means.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::cli {

// Returns the least number of letters to insert, remove, replace or swap with their neighbour that
// makes one word of the other (optimal string alignment distance).
size_t EditDistance(std::string_view a, std::string_view b);

// Returns the name nearest to `word`, or "" if none is near. Upper and lower case, and '_' and '-',
// count as equal. Up to two edits are near, in words of up to four letters one. A word of at least
// three letters is also near to the only name that begins with it.
std::string Nearest(std::string_view word, const std::vector<std::string>& names);

// Returns "; did you mean 'NAME'?" with the nearest name, or "" if none is near.
std::string Suggestion(std::string_view word, const std::vector<std::string>& names);

}  // namespace sinter::cli

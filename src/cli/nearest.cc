#include "cli/nearest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <numeric>

namespace sinter::cli {
namespace {

// Longer words are no mistyped names.
constexpr size_t kLongestWord = 64;

// Returns the word with what Nearest() takes as equal made equal.
std::string Folded(std::string_view word) {
  std::string folded;
  for (const char c : word) {
    folded += c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return folded;
}

}  // namespace

size_t EditDistance(std::string_view a, std::string_view b) {
  // Rows i - 2, i - 1 and i of the table of distances between the words' beginnings.
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

std::string Nearest(std::string_view word, const std::vector<std::string>& names) {
  if (word.empty() || word.size() > kLongestWord) return "";
  const std::string folded = Folded(word);
  const std::string* nearest = nullptr;
  size_t least = word.size() <= 4 ? 2 : 3;  // the first distance that is not near
  for (const std::string& name : names) {
    const size_t distance = EditDistance(folded, Folded(name));
    // A word of as many edits as letters has nothing in common with the name.
    if (distance >= least || distance >= name.size()) continue;
    least = distance;
    nearest = &name;
  }
  if (nearest != nullptr) return *nearest;
  if (word.size() < 3) return "";
  const auto begins = [&](const std::string& name) { return Folded(name).starts_with(folded); };
  const auto found = std::ranges::find_if(names, begins);
  return std::ranges::count_if(names, begins) == 1 ? *found : "";
}

std::string Suggestion(std::string_view word, const std::vector<std::string>& names) {
  const std::string nearest = Nearest(word, names);
  return nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest);
}

}  // namespace sinter::cli

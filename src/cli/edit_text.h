// Text on a terminal: its user-perceived characters, and the rows and columns they take.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::cli {

// One user-perceived character (extended grapheme cluster, UAX #29), which the cursor never enters.
struct Cell {
  size_t begin = 0, size = 0;  // bytes of the text
  // Columns: 0 for a newline, 1 or 2 for what is written as it is, more for a control character. A
  // tab is kTab; its columns depend on its place.
  int columns = 0;

  static constexpr int kTab = -1;
};

// Returns the text's cells in order. `text` must be valid UTF-8.
std::vector<Cell> SplitCells(std::string_view text);

// Returns what shows a cell other than a newline or a tab on a terminal: its text, or ^X for a
// control character, which must not reach the terminal.
std::string ShownText(std::string_view cell);

// Place on the screen, from the top left corner of the text on.
struct Place {
  size_t row = 0;
  int column = 0;

  bool operator==(const Place&) const = default;
};

// Positions of a text's cells on a terminal that wraps lines.
class Layout {
 public:
  // `prompt` columns precede the first line, and as many blanks each later one; the rows in which
  // a line goes on begin at the left edge. `columns` is the width of the terminal.
  Layout(std::string_view text, int prompt, int columns);

  const std::vector<Cell>& cells() const { return cells_; }
  // Place of cell `index`, or of what follows the text for cells().size(). It is never behind the
  // last column: a cursor there stands at the beginning of the next row.
  Place At(size_t index) const { return places_[index]; }
  size_t rows() const { return places_.back().row + 1; }
  // Index of the cell that begins at byte `offset`, or cells().size().
  size_t CellAt(size_t offset) const;
  // Index of the cell in `row` that is nearest to `column`, or of the row's end.
  size_t Nearest(size_t row, int column) const;
  // Columns of cell `index`, also of a tab.
  int Columns(size_t index) const;

 private:
  std::vector<Cell> cells_;
  std::vector<Place> places_;
  int columns_;
};

}  // namespace sinter::cli

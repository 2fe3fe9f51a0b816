#include "cli/edit_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "text/utf8.h"

namespace sinter::cli {
namespace {

constexpr int kTabColumns = 8;

bool IsControl(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

// Returns the columns of one character by itself.
int ColumnsOf(char32_t c) {
  if (c == '\n') return 0;
  if (c == '\t') return Cell::kTab;
  if (c >= 0x80 && IsControl(c)) return 1;  // shown as U+FFFD
  if (IsControl(c)) return 2;               // shown as ^X
  if (c < 0x80) return 1;
  return std::max(utf8proc_charwidth(static_cast<utf8proc_int32_t>(c)), 0);
}

}  // namespace

std::vector<Cell> SplitCells(std::string_view text) {
  std::vector<Cell> cells;
  utf8proc_int32_t state = 0;
  char32_t before = 0;
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    const char32_t c = text::NextCodePoint(text, &pos);
    // Also CR LF is two cells: a control character is shown by itself.
    const bool ascii = c < 0x80 && before < 0x80;
    const bool breaks = cells.empty() || ascii ||
                        utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(before),
                                                         static_cast<utf8proc_int32_t>(c), &state);
    if (ascii) state = 0;
    before = c;
    if (breaks) {
      cells.push_back({begin, pos - begin, ColumnsOf(c)});
      continue;
    }
    Cell& cell = cells.back();
    cell.size = pos - cell.begin;
    // Flags are two characters of one column. Joined emoji, as terminals with grapheme clusters
    // show them, take two columns together.
    cell.columns = std::min(cell.columns + ColumnsOf(c), 2);
  }
  return cells;
}

std::string ShownText(std::string_view cell) {
  size_t pos = 0;
  const char32_t c = text::NextCodePoint(cell, &pos);
  if (!IsControl(c)) return std::string(cell);
  if (c >= 0x80) return std::string(text::kReplacementCharacter);
  return {'^', static_cast<char>(c ^ 0x40)};
}

Layout::Layout(std::string_view text, int prompt, int columns)
    : cells_(SplitCells(text)), columns_(std::max(columns, 1)) {
  places_.reserve(cells_.size() + 1);
  const int indent = std::min(prompt, columns_ - 1);
  Place place = {0, indent};
  const auto wrap = [&] { place = {place.row + 1, 0}; };
  for (const Cell& cell : cells_) {
    if (cell.columns == 0 && text[cell.begin] == '\n') {
      places_.push_back(place);
      place = {place.row + 1, indent};
      continue;
    }
    int width = cell.columns;
    if (width == Cell::kTab) {
      width = std::min(kTabColumns - place.column % kTabColumns, columns_ - place.column);
    }
    width = std::min(width, columns_);
    if (place.column + width > columns_) wrap();
    places_.push_back(place);
    place.column += width;
    if (place.column >= columns_) wrap();
  }
  places_.push_back(place);
}

size_t Layout::CellAt(size_t offset) const {
  const auto cell = std::ranges::lower_bound(cells_, offset, {}, &Cell::begin);
  return static_cast<size_t>(cell - cells_.begin());
}

size_t Layout::Nearest(size_t row, int column) const {
  const auto begin = std::ranges::lower_bound(places_, row, {}, &Place::row);
  auto at = begin;
  while (at + 1 < places_.end() && (at + 1)->row == row && (at + 1)->column <= column) ++at;
  return static_cast<size_t>(at - places_.begin());
}

int Layout::Columns(size_t index) const {
  const Cell& cell = cells_[index];
  if (cell.columns != Cell::kTab) return std::min(cell.columns, columns_);
  const int column = places_[index].column;
  return std::min(kTabColumns - column % kTabColumns, columns_ - column);
}

}  // namespace sinter::cli

#include "cli/edit_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sinter::cli {

void PrintTo(const Place& place, std::ostream* out) { *out << place.row << ":" << place.column; }

namespace {

using ::testing::ElementsAre;

std::vector<int> ColumnsOf(std::string_view text) {
  std::vector<int> columns;
  for (const Cell& cell : SplitCells(text)) columns.push_back(cell.columns);
  return columns;
}

std::vector<Place> PlacesOf(const Layout& layout) {
  std::vector<Place> places;
  for (size_t i = 0; i <= layout.cells().size(); ++i) places.push_back(layout.At(i));
  return places;
}

TEST(EditText, CellsAreWhatAReaderCallsCharacters) {
  EXPECT_THAT(ColumnsOf("a\n\t\x01"), ElementsAre(1, 0, Cell::kTab, 2));
  EXPECT_THAT(ColumnsOf("e\u0301x"), ElementsAre(1, 1));  // combining accent
  EXPECT_THAT(ColumnsOf("漢字"), ElementsAre(2, 2));
  EXPECT_THAT(ColumnsOf("😀👩\u200d👩\u200d👧a"), ElementsAre(2, 2, 1));  // a family
  EXPECT_THAT(ColumnsOf("🇩🇪🇫🇷"), ElementsAre(2, 2));
  EXPECT_THAT(ColumnsOf("\u0085\u200b"), ElementsAre(1, 0));
  EXPECT_THAT(ColumnsOf("\r\n"), ElementsAre(2, 0));
  const std::vector<Cell> cells = SplitCells("ae\u0301b");
  EXPECT_EQ(cells[1].begin, 1u);
  EXPECT_EQ(cells[1].size, 3u);
}

TEST(EditText, ControlCharactersAreShownByName) {
  EXPECT_EQ(ShownText("a"), "a");
  EXPECT_EQ(ShownText("\x1b"), "^[");
  EXPECT_EQ(ShownText(std::string_view("\0", 1)), "^@");
  EXPECT_EQ(ShownText("\x7f"), "^?");
  EXPECT_EQ(ShownText("\u009b"), "\ufffd");  // CSI in one character
  EXPECT_EQ(ShownText("e\u0301"), "e\u0301");
}

TEST(EditText, LinesWrap) {
  EXPECT_THAT(PlacesOf(Layout("abc", 2, 5)),
              ElementsAre(Place{0, 2}, Place{0, 3}, Place{0, 4}, Place{1, 0}));
  EXPECT_THAT(PlacesOf(Layout("ab\ncd", 2, 5)), ElementsAre(Place{0, 2}, Place{0, 3}, Place{0, 4},
                                                            Place{1, 2}, Place{1, 3}, Place{1, 4}));
  // A wide character does not fit the last column.
  EXPECT_THAT(PlacesOf(Layout("ab漢c", 2, 5)),
              ElementsAre(Place{0, 2}, Place{0, 3}, Place{1, 0}, Place{1, 2}, Place{1, 3}));
  // A line that ends with the row takes an empty row more, as for the cursor.
  EXPECT_THAT(PlacesOf(Layout("abc\nd", 2, 5)), ElementsAre(Place{0, 2}, Place{0, 3}, Place{0, 4},
                                                            Place{1, 0}, Place{2, 2}, Place{2, 3}));
  EXPECT_THAT(PlacesOf(Layout("a\tb", 2, 20)),
              ElementsAre(Place{0, 2}, Place{0, 3}, Place{0, 8}, Place{0, 9}));
  EXPECT_THAT(PlacesOf(Layout("\tb", 2, 5)), ElementsAre(Place{0, 2}, Place{1, 0}, Place{1, 1}));
}

TEST(EditText, ATerminalOfOneColumn) {
  EXPECT_THAT(PlacesOf(Layout("ab", 2, 1)), ElementsAre(Place{0, 0}, Place{1, 0}, Place{2, 0}));
  EXPECT_THAT(PlacesOf(Layout("漢\x01", 2, 1)), ElementsAre(Place{0, 0}, Place{1, 0}, Place{2, 0}));
}

TEST(EditText, TheNearestCellOfARow) {
  const Layout layout("abcd\nx\n漢字", 2, 10);
  EXPECT_EQ(layout.rows(), 3u);
  EXPECT_EQ(layout.Nearest(1, 5), 6u);  // the end of the line
  EXPECT_EQ(layout.Nearest(1, 0), 5u);
  EXPECT_EQ(layout.Nearest(2, 3), 7u);
  EXPECT_EQ(layout.Nearest(2, 9), 9u);
  EXPECT_EQ(layout.CellAt(0), 0u);
  EXPECT_EQ(layout.CellAt(10), 8u);
  EXPECT_EQ(layout.CellAt(13), 9u);
}

}  // namespace
}  // namespace sinter::cli

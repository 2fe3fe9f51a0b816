// The line editor by what a user types and sees: its output goes to a small terminal in memory.

#include "cli/line_editor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "text/utf8.h"

namespace sinter::cli {
namespace {

using ::testing::ElementsAre;

// A terminal that knows what the editor writes: text, CR, LF, cursor up and right, erase below. Its
// last column holds the cursor until the next character, as real ones do.
class Screen {
 public:
  Screen(int columns, int rows) : columns_(columns), lines_(static_cast<size_t>(rows)) {}

  void Write(std::string_view bytes) {
    for (const Cell& cell : SplitCells(bytes)) {
      const std::string_view text = bytes.substr(cell.begin, cell.size);
      if (!sequence_.empty()) {
        sequence_ += text;
        const char last = sequence_.back();
        if (sequence_.size() > 2 && last >= 0x40) Control(last);
        continue;
      }
      if (text == "\x1b") {
        sequence_ = text;
      } else if (text == "\r") {
        column_ = 0;
      } else if (text == "\n") {
        Down();
      } else {
        Put(text, cell.columns);
      }
    }
  }

  // Lines on the screen without trailing blanks, the empty ones at the end left out.
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    for (const auto& cells : lines_) {
      std::string line;
      for (const std::string& cell : cells) line += cell.empty() ? " " : cell == "-" ? "" : cell;
      line.erase(line.find_last_not_of(' ') + 1);
      lines.push_back(line);
    }
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
  }
  // The lines that scrolled out of it, in the same form.
  std::vector<std::string> Scrolled() const { return scrolled_; }
  Place Cursor() const { return {row_, std::min(column_, columns_ - 1)}; }

 private:
  void Put(std::string_view text, int columns) {
    ASSERT_GE(columns, 1) << "a character that terminals do not agree on";
    if (column_ + columns > columns_) {
      column_ = 0;
      Down();
    }
    auto& line = lines_[row_];
    line.resize(std::max(line.size(), static_cast<size_t>(column_ + columns)));
    line[static_cast<size_t>(column_)] = text;
    if (columns == 2) line[static_cast<size_t>(column_) + 1] = "-";
    column_ += columns;
  }
  void Down() {
    if (++row_ < lines_.size()) return;
    Screen top(columns_, 1);
    top.lines_[0] = lines_[0];
    scrolled_.push_back(top.Lines().empty() ? "" : top.Lines()[0]);
    lines_.erase(lines_.begin());
    lines_.emplace_back();
    --row_;
  }
  void Control(char last) {
    const int count = sequence_.size() > 3 ? std::stoi(sequence_.substr(2)) : 1;
    if (last == 'A') row_ -= std::min(row_, static_cast<size_t>(count));
    if (last == 'C') column_ = std::min(column_ + count, columns_ - 1);
    if (last == 'J') {
      lines_[row_].resize(std::min(lines_[row_].size(), static_cast<size_t>(column_)));
      for (size_t row = row_ + 1; row < lines_.size(); ++row) lines_[row].clear();
    }
    ASSERT_TRUE(last == 'A' || last == 'C' || last == 'J') << sequence_;
    sequence_.clear();
  }

  int columns_;
  std::vector<std::vector<std::string>> lines_;
  std::vector<std::string> scrolled_;
  size_t row_ = 0;
  int column_ = 0;
  std::string sequence_;
};

class Editing {
 public:
  explicit Editing(int columns = 20, int rows = 6, std::vector<std::string> history = {})
      : history(std::move(history)), screen(columns, rows) {
    editor.Resize(columns, rows);
    editor.Begin(this->history);
    screen.Write(editor.Draw());
  }

  // Handles bytes as the terminal sends them; returns what the last key asks for.
  Edit Type(std::string_view bytes) {
    decoder_.Feed(bytes);
    Edit edit = Edit::kGoOn;
    while (const std::optional<Key> key = decoder_.Next()) {
      edit = editor.Handle(*key);
      if (edit == Edit::kGoOn) screen.Write(editor.Draw());
    }
    return edit;
  }

  std::vector<std::string> history;
  LineEditor editor{"> ", {"/reset", "/regen", "/save"}};
  Screen screen;

 private:
  KeyDecoder decoder_;
};

constexpr char kLeft[] = "\x1b[D";
constexpr char kUp[] = "\x1b[A";
constexpr char kDown[] = "\x1b[B";
constexpr char kAltEnter[] = "\x1b\r";

TEST(LineEditor, TypesAndCorrects) {
  Editing it;
  it.Type("helo");
  it.Type(std::string(kLeft) + "l");
  EXPECT_EQ(it.editor.text(), "hello");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> hello"));
  EXPECT_EQ(it.screen.Cursor(), (Place{0, 6}));
  it.Type("\x01\x1b[3~H");
  EXPECT_EQ(it.editor.text(), "Hello");
  it.Type("\x05!\x7f?");
  EXPECT_EQ(it.Type("\r"), Edit::kDone);
  EXPECT_EQ(it.editor.text(), "Hello?");
  it.screen.Write(it.editor.Finish());
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> Hello?"));
  EXPECT_EQ(it.screen.Cursor(), (Place{1, 0}));
}

TEST(LineEditor, MovesByWhatAReaderCallsCharacters) {
  Editing it;
  it.Type("e\u0301漢👩\u200d👧");
  it.Type("\x7f");
  EXPECT_EQ(it.editor.text(), "e\u0301漢");
  it.Type(std::string(kLeft) + kLeft + kLeft + "\x1b[C");
  EXPECT_EQ(it.editor.cursor(), 3u);
}

TEST(LineEditor, SeveralLines) {
  Editing it;
  it.Type(std::string("one") + kAltEnter + "two\\\r" + "three");
  EXPECT_EQ(it.editor.text(), "one\ntwo\nthree");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> one", "  two", "  three"));
  it.Type(std::string(kUp) + kUp + "\x05X");
  EXPECT_EQ(it.editor.text(), "oneX\ntwo\nthree");
  it.Type(std::string(kDown) + kDown + "\x01Y\x7f\x7f");
  EXPECT_EQ(it.editor.text(), "oneX\ntwothree");
  EXPECT_EQ(it.Type("\r"), Edit::kDone);
}

TEST(LineEditor, UpAndDownKeepTheColumn) {
  Editing it;
  it.Type(std::string("abcdef") + kAltEnter + "x" + kAltEnter + "ABCDEF");
  it.Type(kUp);
  EXPECT_EQ(it.screen.Cursor(), (Place{1, 3}));
  it.Type(kUp);
  EXPECT_EQ(it.screen.Cursor(), (Place{0, 8}));
}

TEST(LineEditor, AnEscapedBackslashEndsTheMessage) {
  Editing it;
  EXPECT_EQ(it.Type("a\\\\\r"), Edit::kDone);
  EXPECT_EQ(it.editor.text(), "a\\\\");
}

TEST(LineEditor, APasteIsOneMessage) {
  Editing it(20, 4);
  EXPECT_EQ(it.Type("see: \x1b[200~int f() {\r\n\treturn 1;\r\n}\r\n\x1b[201~"), Edit::kGoOn);
  EXPECT_EQ(it.editor.text(), "see: int f() {\n\treturn 1;\n}\n");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> see: int f() {", "        return 1;", "  }"));
  EXPECT_EQ(it.Type("\r"), Edit::kDone);
}

TEST(LineEditor, LongLinesWrap) {
  Editing it(8, 6);
  it.Type("abcdef");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> abcdef"));
  EXPECT_EQ(it.screen.Cursor(), (Place{1, 0}));
  it.Type("ghijklmnopq");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> abcdef", "ghijklmn", "opq"));
  it.Type(kUp);
  EXPECT_EQ(it.screen.Cursor(), (Place{1, 3}));
  it.Type("\x7f");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> abcdef", "ghjklmno", "pq"));
}

TEST(LineEditor, TextTallerThanTheScreen) {
  Editing it(10, 3);
  it.Type("1\\\r2\\\r3\\\r4\\\r5");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("  3", "  4", "  5"));
  it.Type(std::string(kUp) + kUp + kUp);
  EXPECT_THAT(it.screen.Lines(), ElementsAre("  2", "  3", "  4"));
  EXPECT_EQ(it.screen.Cursor(), (Place{0, 3}));
  it.Type(kUp);
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> 1", "  2", "  3"));
  EXPECT_THAT(it.screen.Scrolled(), ElementsAre());
  it.screen.Write(it.editor.Finish());
  EXPECT_THAT(it.screen.Scrolled(), ElementsAre("> 1", "  2", "  3"));
  EXPECT_THAT(it.screen.Lines(), ElementsAre("  4", "  5"));
}

TEST(LineEditor, WordsAndLinesAreCutAndPutBack) {
  Editing it;
  it.Type("one two-three four");
  it.Type("\x17");
  EXPECT_EQ(it.editor.text(), "one two-three ");
  it.Type("\x17\x19\x19");
  EXPECT_EQ(it.editor.text(), "one two-three two-three ");
  it.Type(
      "\x1b"
      "b\x0b");
  EXPECT_EQ(it.editor.text(), "one two-three two-");
  it.Type("\x15");
  EXPECT_EQ(it.editor.text(), "");
  it.Type(std::string("a") + kAltEnter + "b\x15\x15\x15");
  EXPECT_EQ(it.editor.text(), "");
  it.Type(std::string("a") + kAltEnter + "b" + kUp + "\x01\x0b\x0b");
  EXPECT_EQ(it.editor.text(), "b");
  it.Type(
      "\x05 c"
      "\x01\x1b"
      "d");
  EXPECT_EQ(it.editor.text(), " c");
}

TEST(LineEditor, HistoryKeepsTheDraft) {
  Editing it(20, 6, {"first", "second\nline"});
  it.Type(std::string("draft") + kUp);
  EXPECT_EQ(it.editor.text(), "second\nline");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> second", "  line"));
  it.Type(std::string(kUp) + kUp + kUp);
  EXPECT_EQ(it.editor.text(), "first");
  it.Type(std::string(kDown) + kDown + kDown);
  EXPECT_EQ(it.editor.text(), "draft");
  EXPECT_EQ(it.Type(kDown), Edit::kGoOn);
  it.Type("\x10\x10\x0e");
  EXPECT_EQ(it.editor.text(), "second\nline");
}

TEST(LineEditor, SearchesTheHistory) {
  Editing it(40, 6, {"what is 1+1", "hello", "what is 2+2"});
  it.Type("draft\x12wh");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("search 'wh': what is 2+2"));
  it.Type("\x12");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("search 'wh': what is 1+1"));
  it.Type("x");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("failed search 'whx': what is 1+1"));
  it.Type("\x07");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> draft"));
  it.Type("\x12hel\x05!");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> hello!"));
  it.Type(
      "\x12"
      "1+");
  EXPECT_EQ(it.Type("\r"), Edit::kDone);
  EXPECT_EQ(it.editor.text(), "what is 1+1");
}

TEST(LineEditor, CompletesCommands) {
  Editing it;
  it.Type("/r\t");
  EXPECT_EQ(it.editor.text(), "/re");
  EXPECT_EQ(it.Type("\t"), Edit::kList);
  EXPECT_EQ(it.editor.matches(), "/reset /regen");
  EXPECT_EQ(it.editor.text(), "/re");
  it.Type("s\t");
  EXPECT_EQ(it.editor.text(), "/reset ");
  it.Type("\x15/x\t");
  EXPECT_EQ(it.editor.text(), "/x");
  it.Type(
      "\x15"
      "a\tb");
  EXPECT_EQ(it.editor.text(), "a\tb");
}

TEST(LineEditor, KeysForTheCaller) {
  Editing it;
  EXPECT_EQ(it.Type("\x04"), Edit::kEndOfInput);
  EXPECT_EQ(it.Type("ab\x01\x04"), Edit::kGoOn);
  EXPECT_EQ(it.editor.text(), "b");
  EXPECT_EQ(it.Type("\x03"), Edit::kInterrupted);
  EXPECT_EQ(it.editor.text(), "b");
  EXPECT_EQ(it.Type("\x1a"), Edit::kSuspend);
}

TEST(LineEditor, AControlCharacterDoesNotReachTheTerminal) {
  Editing it;
  it.Type(std::string("\x1b[200~a\x1b]0;title\x07\x9b") + "b\x1b[201~");
  EXPECT_THAT(it.screen.Lines(), ElementsAre("> a^[]0;title^G\ufffdb"));
}

TEST(LineEditor, AResizedTerminal) {
  Editing it(20, 6);
  it.Type("abcdefghijklmnopqrstuvwxyz");
  Screen narrow(10, 6);
  // What a terminal makes of the two rows when it becomes narrow.
  narrow.Write("> abcdefghijklmnopqrstuvwxyz");
  it.editor.Resize(10, 6);
  narrow.Write(it.editor.Draw());
  EXPECT_THAT(narrow.Lines(), ElementsAre("> abcdefgh", "ijklmnopqr", "stuvwxyz"));
  EXPECT_EQ(narrow.Cursor(), (Place{2, 8}));
}

// Whatever is typed, the screen shows what a fresh editor draws of the same text.
TEST(LineEditor, TheScreenAlwaysShowsTheText) {
  const std::vector<std::string> keys = {"a",
                                         "bc d",
                                         "漢",
                                         "e\u0301",
                                         "\t",
                                         "\x1b\r",
                                         "\x7f",
                                         "\x1b[3~",
                                         kLeft,
                                         "\x1b[C",
                                         kUp,
                                         kDown,
                                         "\x01",
                                         "\x05",
                                         "\x17",
                                         "\x19",
                                         "\x0b",
                                         "\x15",
                                         "\x1b"
                                         "b",
                                         "\x1b"
                                         "f",
                                         "\x1b[200~x\ny z\n\x1b[201~",
                                         "0123456789"};
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    const int columns = 3 + static_cast<int>(random() % 20),
              rows = 1 + static_cast<int>(random() % 6);
    Editing it(columns, rows, {"old one", "old\ntwo"});
    for (int i = 0; i < 60; ++i) {
      it.Type(keys[random() % keys.size()]);
      ASSERT_TRUE(text::IsValidUtf8(it.editor.text()));
      ASSERT_LE(it.editor.cursor(), it.editor.text().size());
      const Layout layout(it.editor.text(), 2, columns);
      const Place place = layout.At(layout.CellAt(it.editor.cursor()));
      ASSERT_EQ(it.screen.Cursor().column, place.column)
          << testing::PrintToString(it.editor.text());
      if (layout.rows() > static_cast<size_t>(rows)) continue;
      Screen fresh(columns, rows);
      LineEditor drawn("> ", {});
      drawn.Resize(columns, rows);
      drawn.Begin(it.history);
      drawn.Handle({KeyKind::kText, it.editor.text()});
      fresh.Write(drawn.Draw());
      ASSERT_EQ(it.screen.Lines(), fresh.Lines()) << testing::PrintToString(it.editor.text());
      ASSERT_EQ(it.screen.Cursor().row, place.row);
    }
  }
}

TEST(LineEditor, AnyBytes) {
  std::mt19937 random(11);
  const std::string_view parts[] = {"\x1b", "[",        "O",    "200~", "201~",
                                    "1;5",  "\xf0\x9f", "\xe2", "\n",   "\r"};
  for (int round = 0; round < 300; ++round) {
    Editing it(1 + static_cast<int>(random() % 30), 1 + static_cast<int>(random() % 5),
               {"one", "\n"});
    KeyDecoder decoder;
    for (int i = 0; i < 40; ++i) {
      std::string bytes(parts[random() % std::size(parts)]);
      if (random() % 2 == 0) bytes = static_cast<char>(random());
      decoder.Feed(bytes);
      if (random() % 8 == 0) decoder.Flush();
      while (const std::optional<Key> key = decoder.Next()) {
        it.editor.Handle(*key);
        // What reaches the terminal has no control characters but the editor's own.
        const std::string drawn = it.editor.Draw();
        ASSERT_TRUE(text::IsValidUtf8(drawn));
        for (const char c : drawn)
          ASSERT_TRUE(c == '\r' || c == '\n' || c == '\x1b' || c < 0 || c >= 0x20);
        ASSERT_TRUE(text::IsValidUtf8(it.editor.text()));
        ASSERT_LE(it.editor.cursor(), it.editor.text().size());
      }
    }
  }
}

}  // namespace
}  // namespace sinter::cli

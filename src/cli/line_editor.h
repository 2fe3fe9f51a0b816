// A line editor for messages: several lines, history, search. It knows keys and a screen, but no
// files: the caller reads the keys and writes the output.
//
// Why none of the usual libraries: Debian's libedit has no bracketed paste, so that each line of a
// paste would be a message, and no line ends within a line; linenoise has none of both; replxx
// draws wrongly what is taller than the screen, as pasted text is, and Debian 12 does not have it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cli/edit_text.h"
#include "cli/keys.h"

namespace sinter::cli {

// What a key asks the caller to do.
enum class Edit {
  kGoOn,         // draw and read the next key
  kDone,         // text() is the message
  kEndOfInput,   // Ctrl-D without text
  kInterrupted,  // Ctrl-C
  kSuspend,      // Ctrl-Z
  kList,         // show matches() below the text, which is then drawn anew
};

class LineEditor {
 public:
  // `prompt` is printable ASCII. Tab completes a first word among `words`, which begin with a
  // slash, or lists those that fit if it can add nothing.
  LineEditor(std::string prompt, std::vector<std::string> words)
      : prompt_(std::move(prompt)), words_(std::move(words)) {}

  // Begins a new message. `history` holds earlier ones, the oldest first, and must outlive the
  // editing of this one.
  void Begin(const std::vector<std::string>& history);
  // Sets the terminal's size; 0 stands for 80 columns or 24 rows. What is on the screen already is
  // taken to be wrapped anew by the terminal.
  void Resize(int columns, int rows);
  Edit Handle(const Key& key);

  const std::string& text() const { return text_; }
  // Words that Tab could complete the text to, with blanks between them.
  const std::string& matches() const { return matches_; }
  // Offset of the cursor in bytes.
  size_t cursor() const { return cursor_; }

  // Returns what brings the screen up to date. Text taller than the screen shows the part around
  // the cursor.
  std::string Draw();
  // Returns what draws all of the text and moves the cursor below it.
  std::string Finish();
  // Forgets what is on the screen: the next Draw() begins at the left edge of an empty line.
  void Forget();

 private:
  struct Search {
    std::string query;
    std::string before;  // the text when the search began
    bool found = true;
  };

  void Insert(std::string_view text);
  void Erase(size_t begin, size_t end);
  void Kill(size_t begin, size_t end);
  void Enter(Edit& edit);
  Edit Complete();
  void Move(bool down);
  void Recall(bool back);
  void Show(size_t entry);
  Edit HandleSearch(const Key& key);
  void FindOlder(size_t from);
  size_t Left() const;
  size_t Right() const;
  size_t LineBegin() const;
  size_t LineEnd() const;
  size_t WordLeft() const;
  size_t WordRight() const;
  std::string Prompt() const;
  std::string Rows(const Layout& layout, size_t first, size_t last) const;
  std::string Top() const;

  std::string prompt_;
  std::vector<std::string> words_;
  int columns_ = 80, rows_ = 24;

  std::string text_;
  std::string matches_;
  size_t cursor_ = 0;
  std::string killed_;
  int wanted_column_ = -1;  // column that moves up and down keep; -1: the cursor's

  const std::vector<std::string>* history_ = nullptr;
  size_t entry_ = 0;   // entry of the history that text_ was; its size for a new message
  std::string draft_;  // the new message while an entry is shown
  bool searching_ = false;
  Search search_;

  // State of the screen after the last Draw().
  bool drawn_ = false;
  std::string drawn_text_, drawn_prompt_;
  size_t drawn_cursor_ = 0;
  size_t top_ = 0;         // first row of the text on the screen
  size_t screen_row_ = 0;  // row of the cursor from there on
};

}  // namespace sinter::cli

// The terminal of a chat: reads its keys and draws the line editor, and restores its mode.
#pragma once

#include <termios.h>

#include <string>

#include "cli/keys.h"
#include "cli/line_editor.h"

namespace sinter::cli {

// Takes over the terminal of standard input and output for its lifetime: keys arrive one by one,
// unseen, and pastes are marked. While no message is read, what is typed waits in the terminal, and
// Ctrl-C is the signal SIGINT. At most one may exist.
// A signal that ends the process restores the terminal's mode before. A first Ctrl-C does not: what
// is typed until the answer has stopped stays unseen. A second Ctrl-C ends the process only if the
// first one came more than a second before.
class Terminal {
 public:
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // Returns whether standard input and output are a terminal that can draw: TERM is set and not
  // `dumb`.
  static bool CanDraw();

  // Reads one message into the editor. Returns kDone, kEndOfInput or kInterrupted; a signal that
  // ends the program is as an end of input. Afterwards the cursor is below the text. Throws Error
  // if the terminal cannot be read.
  Edit Read(LineEditor& editor, const std::vector<std::string>& history);

 private:
  Edit Keys(LineEditor& editor);
  bool Wait();
  void Suspend(LineEditor& editor);
  void FitEditor(LineEditor& editor) const;

  termios before_ = {};
  KeyDecoder keys_;
};

}  // namespace sinter::cli

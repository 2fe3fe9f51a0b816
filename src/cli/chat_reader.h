// Reads a chat's messages from one of three places: the line editor, a terminal that cannot draw,
// or a pipe.
#pragma once

#include <optional>
#include <string>

#include "cli/history.h"
#include "cli/line_editor.h"
#include "cli/terminal.h"

namespace sinter::cli {

class ChatReader {
 public:
  // Without `prompts`, lines come as from a pipe, each a message.
  ChatReader(bool prompts, bool keep_history);

  // Returns whether messages are typed into the line editor.
  bool has_editor() const { return terminal_.has_value(); }

  // Returns the next message; nullopt at the end of the input and when `interrupted`. On a
  // terminal, Ctrl-C drops the message; at an empty prompt, twice in a row, it is as the signal
  // anywhere else. Throws Error for a line that the terminal has cut.
  std::optional<std::string> Next();

 private:
  std::optional<std::string> NextEdited();
  std::optional<std::string> NextLine();

  bool prompts_;
  History history_;
  LineEditor editor_;
  std::optional<Terminal> terminal_;
};

}  // namespace sinter::cli

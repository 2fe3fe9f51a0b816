// Turns the bytes that a terminal sends into keys, text and pastes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/utf8.h"

namespace sinter::cli {

enum class KeyKind {
  kText,   // typed characters, in Key::text
  kPaste,  // pasted text, with LF as its line ends
  kEnter,
  kNewline,  // Alt-Enter, also Shift-Enter and Ctrl-Enter of terminals that tell them apart
  kTab,
  kBackspace,
  kDelete,
  kLeft,
  kRight,
  kUp,
  kDown,
  kHome,
  kEnd,
  kWordLeft,
  kWordRight,
  kDeleteWordLeft,   // back to a blank
  kDeleteWordRight,  // to the end of a word
  kDeleteToBegin,
  kDeleteToEnd,
  kYank,  // inserts what was last deleted by one of the keys above
  kHistoryBack,
  kHistoryForward,
  kSearch,
  kCancel,       // Ctrl-G, or Escape alone
  kClearScreen,  // Ctrl-L
  kInterrupt,    // Ctrl-C
  kEndOfInput,   // Ctrl-D, which also deletes
  kSuspend,      // Ctrl-Z
};

struct Key {
  KeyKind kind;
  std::string text;  // valid UTF-8
};

// Decodes UTF-8, control characters, the escape sequences of xterm and what imitates it, and
// bracketed pastes. Unknown sequences give nothing.
class KeyDecoder {
 public:
  // Takes bytes as they arrive; sequences and characters may be cut anywhere.
  void Feed(std::string_view bytes);
  // Returns the next key, or nullopt if the bytes so far complete none.
  std::optional<Key> Next();
  // Returns whether bytes wait for the rest of a sequence. A caller that gets no more for some
  // 50 ms calls Flush(): then a lone Escape is the key of this name.
  bool Waits() const { return !input_.empty() && !pasting_; }
  void Flush();

 private:
  std::optional<Key> Escape();
  std::optional<Key> Paste();

  std::string input_;  // bytes not yet decoded
  bool flush_ = false;
  bool pasting_ = false;
  size_t searched_ = 0;  // bytes of input_ that hold no end of the paste
};

}  // namespace sinter::cli

#include "cli/chat_reader.h"

#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/chat_commands.h"
#include "cli/standard_io.h"

namespace sinter::cli {
namespace {

constexpr char kPrompt[] = "> ";
constexpr char kHowToLeave[] = "(press Ctrl-C again or Ctrl-D to leave)\n";

// Linux drops what a line of a terminal has beyond 4,095 bytes, unless a program reads the keys
// itself (termios(3), canonical mode).
constexpr size_t kMaxTerminalLineBytes = 4095;

// Returns the text without the line ends behind it, which are no part of what it says: a paste
// often has one.
std::string WithoutLineEnds(const std::string& text) {
  return text.substr(0, text.find_last_not_of('\n') + 1);
}

}  // namespace

ChatReader::ChatReader(bool prompts, bool keep_history)
    : prompts_(prompts),
      history_(prompts && keep_history && Terminal::CanDraw() ? HistoryPath() : ""),
      editor_(kPrompt, ChatCommandNames()) {
  if (prompts && Terminal::CanDraw()) terminal_.emplace();
}

std::optional<std::string> ChatReader::Next() { return terminal_ ? NextEdited() : NextLine(); }

std::optional<std::string> ChatReader::NextEdited() {
  bool told = false;
  while (!interrupted) {
    Edit edit = terminal_->Read(editor_, history_.entries());
    // A Ctrl-C may still come as a signal when an answer has just ended.
    if (edit == Edit::kEndOfInput && interrupted) {
      CatchSignals();
      if (interrupted) break;
      edit = Edit::kInterrupted;
    }
    const std::string text = WithoutLineEnds(editor_.text());
    history_.Add(text);
    if (edit == Edit::kEndOfInput) break;
    if (edit == Edit::kDone) return text;
    if (!text.empty()) {
      Err("(not sent; press Up to get it back)\n");
      told = false;
    } else if (told) {
      raise(SIGINT);
    } else {
      Err(kHowToLeave);
      told = true;
    }
  }
  return std::nullopt;
}

std::optional<std::string> ChatReader::NextLine() {
  const bool terminal = isatty(STDIN_FILENO) != 0;
  std::string message;
  bool told = false;
  if (prompts_) Out(kPrompt);
  while (true) {
    std::optional<std::string> line = ReadLine();
    if (!line) {
      if (prompts_) Out("\n");
      if (!interrupted && !message.empty()) return WithoutLineEnds(message);
      const bool ends = !interrupted || !prompts_ || told;
      // Only a Ctrl-C leaves `interrupted` false.
      if (!ends) CatchSignals();
      if (ends || interrupted) return std::nullopt;
      Err(kHowToLeave);
      told = true;
      message.clear();
      Out(kPrompt);
      continue;
    }
    if (terminal && line->size() >= kMaxTerminalLineBytes) {
      throw Error("chat",
                  "line: got {} bytes, where a terminal cuts lines, want fewer: end lines with a "
                  "backslash to continue a message, or send it through a pipe",
                  line->size());
    }
    message += *line;
    if (!terminal || !message.ends_with('\\')) return message;
    message.back() = '\n';
    if (prompts_) Out(std::string(sizeof(kPrompt) - 1, ' '));
  }
}

}  // namespace sinter::cli

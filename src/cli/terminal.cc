#include "cli/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "cli/standard_io.h"
#include "cli/status_text.h"

namespace sinter::cli {
namespace {

// Mode 2004 of xterm: pastes come between ESC [ 200 ~ and ESC [ 201 ~.
constexpr std::string_view kMarkPastes = "\x1b[?2004h";
constexpr std::string_view kDoNotMarkPastes = "\x1b[?2004l";
// A sequence of a key comes as a whole; an Escape after which nothing comes is the key of this
// name.
constexpr int kSequenceMilliseconds = 50;

// Mode of the terminal before the chat, for the signal handler.
termios mode_before;
std::atomic<bool> resized = false;
int resize_pipe[2] = {-1, -1};

// Time after a Ctrl-C during which further ones are taken for the same: people press it twice.
constexpr int64_t kPatienceMilliseconds = 1000;
std::atomic<int64_t> interrupted_at = 0;  // in milliseconds

void WriteTerminal(std::string_view text) {
  [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
}

// A signal handler may call it. Does not wait for output that Ctrl-S holds back.
void RestoreTerminal() {
  WriteTerminal(kDoNotMarkPastes);
  tcsetattr(STDIN_FILENO, TCSANOW, &mode_before);
}

// Restores the terminal's mode when a signal comes that ends the process, so that it leaves a
// usable terminal. Ctrl-C stops an answer; another one ends the process if the answer has not ended
// after a second, as when a driver hangs.
bool HandleSignalOfTerminal(int signal) {
  if (signal != SIGINT) {
    RestoreTerminal();
    return false;
  }
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t milliseconds = now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
  if (!interrupted) interrupted_at = milliseconds;
  if (milliseconds - interrupted_at < kPatienceMilliseconds) return true;
  RestoreTerminal();
  // Ends the process as soon as the handler has returned.
  ::signal(SIGINT, SIG_DFL);
  raise(SIGINT);
  return false;
}

// Sets the mode in which keys arrive one by one. While the editor reads them, Ctrl-C and Ctrl-Z are
// keys, and its output is not changed.
void SetKeyMode(bool editing) {
  termios mode = mode_before;
  mode.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
  mode.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN | ISIG);
  if (!editing) mode.c_lflag |= static_cast<tcflag_t>(ISIG);
  if (editing) mode.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  // What was typed already stays.
  while (tcsetattr(STDIN_FILENO, TCSANOW, &mode) != 0 && errno == EINTR) {
  }
  WriteTerminal(kMarkPastes);
}

}  // namespace

bool Terminal::CanDraw() {
  const bool output = isatty(STDOUT_FILENO) != 0;
  return isatty(STDIN_FILENO) != 0 && StyleOf(output, std::getenv("TERM")) == StatusStyle::kRedrawn;
}

Terminal::Terminal() {
  if (tcgetattr(STDIN_FILENO, &before_) != 0)
    throw Error("cli", "terminal: got '{}', want its mode", std::strerror(errno));
  mode_before = before_;
  if (resize_pipe[0] < 0 && pipe2(resize_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
    throw Error("cli", "pipe: got '{}', want one", std::strerror(errno));
  struct sigaction action = {};
  action.sa_handler = [](int) {
    const int saved = errno;
    resized = true;
    [[maybe_unused]] const ssize_t written = write(resize_pipe[1], "", 1);
    errno = saved;
  };
  action.sa_flags = SA_RESTART;
  sigaction(SIGWINCH, &action, nullptr);
  signal_hook = HandleSignalOfTerminal;
  SetKeyMode(/*editing=*/false);
}

Terminal::~Terminal() {
  signal_hook = nullptr;
  signal(SIGWINCH, SIG_DFL);
  RestoreTerminal();
}

void Terminal::FitEditor(LineEditor& editor) const {
  winsize size = {};
  ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
  editor.Resize(size.ws_col, size.ws_row);
}

Edit Terminal::Read(LineEditor& editor, const std::vector<std::string>& history) {
  SetKeyMode(/*editing=*/true);
  editor.Begin(history);
  FitEditor(editor);
  WriteTerminal(editor.Draw());
  const auto end = [&] {
    WriteTerminal(editor.Finish());
    SetKeyMode(/*editing=*/false);
  };
  try {
    const Edit edit = Keys(editor);
    end();
    return edit;
  } catch (...) {
    end();
    throw;
  }
}

// Handles keys until one ends the message.
Edit Terminal::Keys(LineEditor& editor) {
  while (true) {
    bool changed = false;
    while (const std::optional<Key> key = keys_.Next()) {
      changed = true;
      const Edit edit = editor.Handle(*key);
      if (edit == Edit::kSuspend) {
        Suspend(editor);
      } else if (edit == Edit::kList) {
        WriteTerminal(editor.Finish() + editor.matches() + "\r\n");
      } else if (edit != Edit::kGoOn) {
        return edit;
      }
      if (key->kind != KeyKind::kClearScreen) continue;
      WriteTerminal("\x1b[H\x1b[2J");
      editor.Forget();
    }
    if (resized.exchange(false)) {
      FitEditor(editor);
      changed = true;
    }
    if (changed) WriteTerminal(editor.Draw());
    if (!Wait()) return Edit::kEndOfInput;
  }
}

// Waits for input, a new size or a signal, and takes the input. Returns false at its end and when
// `interrupted`.
bool Terminal::Wait() {
  if (interrupted) return false;
  pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {resize_pipe[0], POLLIN, 0}, {WakeupFd(), POLLIN, 0}};
  const int ready = poll(fds, 3, keys_.Waits() ? kSequenceMilliseconds : -1);
  if (ready == 0) keys_.Flush();
  char buffer[4096];
  if (fds[1].revents != 0) {
    while (read(resize_pipe[0], buffer, sizeof(buffer)) > 0) {
    }
  }
  if (ready <= 0 || fds[0].revents == 0) return !interrupted;
  const ssize_t bytes = read(STDIN_FILENO, buffer, sizeof(buffer));
  if (bytes < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  // A terminal that is hung up gives EIO.
  if (bytes < 0 && errno != EIO)
    throw Error("cli", "terminal: got '{}', want keys", std::strerror(errno));
  if (bytes > 0) keys_.Feed(std::string_view(buffer, static_cast<size_t>(bytes)));
  return bytes > 0;
}

void Terminal::Suspend(LineEditor& editor) {
  WriteTerminal(editor.Finish());
  RestoreTerminal();
  raise(SIGTSTP);
  // Continues here in the foreground.
  SetKeyMode(/*editing=*/true);
  FitEditor(editor);
}

}  // namespace sinter::cli

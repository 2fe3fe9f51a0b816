#include "cli/status.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

#include "cli/failure.h"
#include "cli/standard_io.h"
#include "cli/status_text.h"

namespace sinter::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kTick{50}, kRedraw{100};
// Time that a command has to end by itself after a signal.
constexpr milliseconds kGrace{150};

// Whether a line is on the terminal.
std::atomic<bool> drawn = false;
std::atomic<bool> json_failures = false;
// Number of StatusPauses.
std::atomic<int> pauses = 0;

// Returns the columns of the terminal of standard error that a line may fill without wrapping.
size_t Columns() {
  winsize size = {};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return (known ? size.ws_col : 80u) - 1u;
}

void Write(std::string_view text) noexcept {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

// Returns the words of a text before its first figure or bar: its phase.
std::string_view PhaseOf(std::string_view text) {
  return text.substr(0, text.find_first_of("0123456789["));
}

}  // namespace

void SetJsonFailures(bool json) { json_failures = json; }

void EraseStatusLine() noexcept {
  if (drawn.exchange(false)) Write("\r\x1b[K");
}

StatusPause::StatusPause() {
  ++pauses;
  EraseStatusLine();
}
StatusPause::~StatusPause() { --pauses; }

StatusLine::StatusLine(std::function<std::string(size_t columns)> text, StatusOptions options)
    : text_(std::move(text)), options_(std::move(options)) {
  try {
    thread_ = std::thread([this] { Show(); });
  } catch (const std::system_error&) {
    // Under a limit of the process (ulimit -u, ulimit -v) the wait goes on without a line.
  }
}

StatusLine::StatusLine(std::string text, StatusOptions options)
    : StatusLine([text = std::move(text)](size_t columns) { return FitColumns(text, columns); },
                 std::move(options)) {}

void StatusLine::Show() {
  const StatusStyle style = StyleOf(isatty(STDERR_FILENO) != 0, std::getenv("TERM"));
  LineSchedule lines(style);
  const steady_clock::time_point begin = steady_clock::now();
  milliseconds next = options_.quiet, signalled{-1};
  std::string shown;
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, kTick, [this] { return done_; })) {
    const auto elapsed = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
    if (interrupted && options_.on_signal == OnSignal::kExit) {
      if (signalled < milliseconds(0)) signalled = elapsed;
      if (elapsed - signalled < kGrace) continue;
      if (options_.before_exit) options_.before_exit();
      Err(FailureText(SignalFailure(InterruptedCode()), json_failures));
      std::_Exit(InterruptedCode());
    }
    if (elapsed < next || pauses > 0) continue;
    next = elapsed + kRedraw;
    if (style == StatusStyle::kRedrawn) {
      const std::string text = text_(Columns());
      if (text.empty() || (drawn && text == shown)) continue;
      drawn = true;
      shown = text;
      Write("\r" + text + "\x1b[K");
    } else {
      constexpr size_t kLogColumns = 100;
      const std::string text = text_(style == StatusStyle::kLines ? Columns() : kLogColumns);
      if (!text.empty() && lines.IsDue(elapsed, PhaseOf(text))) Write(text + "\n");
    }
  }
  EraseStatusLine();
}

StatusLine::~StatusLine() { End(); }

void StatusLine::End() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    done_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

}  // namespace sinter::cli

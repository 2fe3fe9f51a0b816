// A line on standard error that tells what a command waits for, and the end of a wait by Ctrl-C.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace sinter::cli {

// Effect of a signal (common.h: `interrupted`) during a wait.
enum class OnSignal {
  // The process ends within 0.3 s, even if a driver or a library does not return. For waits that
  // have nothing to put away.
  kExit,
  // The caller watches `interrupted`.
  kGoOn,
};

struct StatusOptions {
  OnSignal on_signal = OnSignal::kExit;
  // Called before the process ends by a signal, on another thread: removes temporary files.
  std::function<void()> before_exit;
  // Time before a terminal shows anything. Shorter waits show nothing.
  std::chrono::milliseconds quiet{100};
};

// A wait that standard error shows. A terminal has one line, redrawn ten times a second, cut to the
// terminal's width and removed at the end. Other outputs get a few plain lines, as LineSchedule
// (status_text.h) says.
class StatusLine {
 public:
  // Calls `text` for the line's content in a number of columns, from another thread.
  explicit StatusLine(std::function<std::string(size_t columns)> text, StatusOptions options = {});
  // The same for a fixed text.
  explicit StatusLine(std::string text, StatusOptions options = {});
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  // Removes the line for good. Further calls do nothing.
  void End();

 private:
  void Show();

  std::function<std::string(size_t columns)> text_;
  StatusOptions options_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool done_ = false;
  std::thread thread_;
};

// Keeps status lines from being drawn as long as it lives.
class StatusPause {
 public:
  StatusPause();
  ~StatusPause();
  StatusPause(const StatusPause&) = delete;
  StatusPause& operator=(const StatusPause&) = delete;
};

// Makes the end by a signal print an object to standard error, as every failure with --json does.
void SetJsonFailures(bool json);

// Removes the status line from the terminal, if one is drawn there, until it is drawn again.
void EraseStatusLine() noexcept;

}  // namespace sinter::cli

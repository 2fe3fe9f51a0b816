// Texts that tell a user what a program is waiting for, cut to the terminal. Pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace sinter::cli {

// How standard error shows that something goes on.
enum class StatusStyle {
  kRedrawn,  // one line, drawn again and again with escape codes
  kLines,    // a terminal without them: a few plain lines
  kLog,      // no terminal: fewer lines, and only for long waits
};
// Returns the style. `term` is the environment's TERM, or null.
StatusStyle StyleOf(bool is_terminal, const char* term);

// Returns the beginning of the text that fits that many columns, without control characters. A
// character counts as one column.
std::string FitColumns(std::string_view text, size_t columns);

// Returns a bar such as "[=====     ]" of that many columns; "" if there are too few for one.
std::string ProgressBar(double share, size_t columns);

// Returns the text of a wait for an answer's first token.
std::string WaitText(int64_t seconds, bool software, size_t columns);

// State of a load.
struct LoadProgress {
  bool device_open = false;
  bool loading = false;  // whether the folder has been read
  uint64_t done_bytes = 0, total_bytes = 0;
  int shaders_done = 0, shaders_begun = 0;
  std::optional<double> measured;  // share of the plans to measure
};
// Returns what a load does at this time, in that many columns.
std::string LoadText(const LoadProgress& progress, size_t columns);

// Returns "WHAT [=====     ]  50%  1.2 GB of 2.4 GB" in that many columns; the bytes are left out
// first, then the bar.
std::string BytesProgressText(std::string_view what, uint64_t done, uint64_t total, size_t columns);

// State of the answers to a file of prompts.
struct AnswersProgress {
  int64_t done = 0, total = 0;   // lines
  int64_t failed = 0;            // of those that are done
  double tokens_per_second = 0;  // 0 if it is not known
  std::optional<double> seconds_left;
};
// Returns "answering [=====     ] 12 of 200, 2 failed, 850 tokens/s, 3 min left" in that many
// columns. Of the figures behind the number of lines, those that leave no room for a bar are left
// out; the bar is, where it has no room without them.
std::string AnswersText(const AnswersProgress& progress, size_t columns);

// Chooses the moments at which a wait without a redrawn line prints another line: at a first
// moment, on a terminal also where a new phase begins, and then at intervals that double.
class LineSchedule {
 public:
  explicit LineSchedule(StatusStyle style);

  // Returns whether to print a line of this phase, `elapsed` after the wait's beginning.
  bool IsDue(std::chrono::milliseconds elapsed, std::string_view phase);

 private:
  bool phases_;
  std::chrono::milliseconds interval_;
  std::chrono::milliseconds next_;
  std::set<std::string, std::less<>> shown_;  // phases
};

}  // namespace sinter::cli

#include "cli/status_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/bytes_text.h"

namespace sinter::cli {

using std::chrono::milliseconds;

StatusStyle StyleOf(bool is_terminal, const char* term) {
  if (!is_terminal) return StatusStyle::kLog;
  const std::string_view name = term == nullptr ? "" : term;
  return name.empty() || name == "dumb" ? StatusStyle::kLines : StatusStyle::kRedrawn;
}

std::string FitColumns(std::string_view text, size_t columns) {
  std::string fitting;
  size_t used = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) continue;
    const bool begins_character = (byte & 0xC0) != 0x80;
    if (begins_character && ++used > columns) break;
    fitting += c;
  }
  return fitting;
}

std::string ProgressBar(double share, size_t columns) {
  constexpr size_t kLeast = 6;
  if (columns < kLeast) return "";
  const size_t width = columns - 2;
  const auto filled = static_cast<size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(width));
  return fmt::format("[{:=<{}}{:{}}]", "", filled, "", width - filled);
}

std::string BytesProgressText(std::string_view what, uint64_t done, uint64_t total,
                              size_t columns) {
  const double share =
      total == 0 ? 1 : std::min(static_cast<double>(done) / static_cast<double>(total), 1.0);
  const std::string begin(what);
  std::string end = fmt::format(" {:3.0f}%", std::floor(share * 100));
  const std::string bytes =
      fmt::format("  {} of {}", BytesText(std::min(done, total)), BytesText(total));
  constexpr size_t kShortestBar = 10, kLongestBar = 32;
  if (begin.size() + 1 + kShortestBar + end.size() + bytes.size() <= columns) end += bytes;
  const size_t others = begin.size() + 1 + end.size();
  const std::string bar =
      ProgressBar(share, columns > others ? std::min(columns - others, kLongestBar) : 0);
  return FitColumns(begin + (bar.empty() ? "" : " ") + bar + end, columns);
}

std::string WaitText(int64_t seconds, bool software, size_t columns) {
  const std::string text = fmt::format("waiting for the first token: {} s", seconds);
  const std::string why = software ? " (a software GPU compiles new shaders)" : "";
  return FitColumns(text.size() + why.size() <= columns ? text + why : text, columns);
}

std::string LoadText(const LoadProgress& progress, size_t columns) {
  if (!progress.device_open) return FitColumns("opening the GPU", columns);
  if (!progress.loading) return FitColumns("reading the model", columns);
  if (progress.measured) {
    return FitColumns(fmt::format("measuring plans {:3.0f}%, shaders {} of {}",
                                  std::floor(*progress.measured * 100), progress.shaders_done,
                                  progress.shaders_begun),
                      columns);
  }
  const bool uploading = progress.done_bytes > 0 && progress.done_bytes < progress.total_bytes;
  if (!uploading && progress.shaders_done < progress.shaders_begun) {
    return FitColumns(
        fmt::format("compiling shaders: {} of {}", progress.shaders_done, progress.shaders_begun),
        columns);
  }
  if (!uploading) return FitColumns("preparing the model", columns);
  return BytesProgressText("loading", progress.done_bytes, progress.total_bytes, columns);
}

std::string AnswersText(const AnswersProgress& progress, size_t columns) {
  const std::string begin = "answering";
  std::string end = fmt::format(" {} of {}", progress.done, progress.total);
  constexpr size_t kShortest = 10, kLongest = 32;
  const auto append = [&](const std::string& text) {
    if (begin.size() + 1 + kShortest + end.size() + text.size() <= columns) end += text;
  };
  if (progress.failed > 0) append(fmt::format(", {} failed", progress.failed));
  if (progress.tokens_per_second > 0)
    append(fmt::format(", {:.0f} tokens/s", progress.tokens_per_second));
  if (progress.seconds_left) {
    const double seconds = std::ceil(*progress.seconds_left);
    append(seconds < 100    ? fmt::format(", {:.0f} s left", seconds)
           : seconds < 6000 ? fmt::format(", {:.0f} min left", std::ceil(seconds / 60))
                            : fmt::format(", {:.0f} h left", std::ceil(seconds / 3600)));
  }
  const double share = progress.total == 0 ? 1
                                           : static_cast<double>(progress.done) /
                                                 static_cast<double>(progress.total);
  const size_t others = begin.size() + 1 + end.size();
  const std::string bar =
      ProgressBar(share, columns > others ? std::min(columns - others, kLongest) : 0);
  return FitColumns(begin + (bar.empty() ? "" : " ") + bar + end, columns);
}

LineSchedule::LineSchedule(StatusStyle style)
    : phases_(style != StatusStyle::kLog),
      interval_(style == StatusStyle::kLog ? 30'000 : 5'000),
      next_(style == StatusStyle::kLog ? 10'000 : 200) {}

bool LineSchedule::IsDue(milliseconds elapsed, std::string_view phase) {
  const bool begins = phases_ && !shown_.empty() && !shown_.contains(phase);
  if (elapsed < next_ && !begins) return false;
  if (elapsed >= next_) {
    next_ = elapsed + interval_;
    interval_ *= 2;
  }
  shown_.emplace(phase);
  return true;
}

}  // namespace sinter::cli

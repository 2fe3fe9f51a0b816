#include "generate/stop_strings.h"

#include <algorithm>
#include <utility>

namespace sinter::generate {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  std::erase_if(strings_, [](const std::string& string) { return string.empty(); });
}

std::string StopStrings::Push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  // The stop string that is complete first decides, so the result does not depend on the pieces. If
  // several are complete at the same place, the longest decides.
  size_t found = std::string::npos, end = std::string::npos;
  for (const std::string& string : strings_) {
    const size_t begin = held_.find(string);
    if (begin == std::string::npos) continue;
    if (begin + string.size() < end || (begin + string.size() == end && begin < found)) {
      found = begin;
      end = begin + string.size();
    }
  }
  if (found != std::string::npos) {
    stopped_ = true;
    held_.resize(found);
    return std::exchange(held_, {});
  }
  size_t keep = 0;
  for (const std::string& string : strings_) {
    for (size_t length = std::min(string.size() - 1, held_.size()); length > keep; --length) {
      if (std::string_view(held_).substr(held_.size() - length) ==
          std::string_view(string).substr(0, length)) {
        keep = length;
      }
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopStrings::Flush() { return std::exchange(held_, {}); }

}  // namespace sinter::generate

// Finds stop strings in streamed text, however the pieces fall.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sinter::generate {

class StopStrings {
 public:
  // Empty strings are ignored.
  explicit StopStrings(std::vector<std::string> strings);

  // Takes the next piece of text and returns what is certain to come before any stop string. A tail
  // that may be the beginning of one is held back.
  std::string Push(std::string_view text);
  // The text held back, once no more is to come. Empty after a stop string was found.
  std::string Flush();
  // Whether a stop string has come; the text before the one that was complete first has all been
  // returned.
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> strings_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace sinter::generate

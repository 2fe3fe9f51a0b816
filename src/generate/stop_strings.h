// Finds stop strings in streamed text, wherever its pieces begin and end.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sinter::generate {

class StopStrings {
 public:
  // Empty strings are ignored.
  explicit StopStrings(std::vector<std::string> strings);

  // Takes the next piece of text. Returns the text that lies before any stop string for certain,
  // and holds back a tail that may be the beginning of a stop string.
  std::string Push(std::string_view text);
  // Returns the text held back, when no more pieces come. Returns an empty text after a stop
  // string.
  std::string Flush();
  // Returns whether a stop string has come. Push has then returned all text before the stop string
  // that was complete first.
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> strings_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace sinter::generate

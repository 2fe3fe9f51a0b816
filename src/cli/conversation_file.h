// Conversations on disk, as --messages reads them: /save, /load and --session.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "generate/messages.h"

namespace sinter::cli {

// Returns the JSON of the messages: an array with a line for each, or with tools (JSON text of an
// array) an object with messages and tools.
std::string ConversationText(const generate::Messages& messages, const std::string& tools_json);

// The file of --session, which one chat at a time keeps up to date.
class SessionFile {
 public:
  // Remembers the file that is there now, if there is one. Call it before reading that file.
  explicit SessionFile(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  // Returns whether this path leads to the session's file.
  bool Is(const std::filesystem::path& path) const;
  // Takes the file that is there now for one that Write may replace: the caller has just written it
  // or knows its contents.
  void Adopt() { identity_ = IdentityNow(); }
  // Replaces the contents; a new file can be read by its user only. Throws Error if the file cannot
  // be written, or if another program has changed it since, whose text would be lost.
  void Write(std::string_view text);

 private:
  // Numbers that tell one file from another and from its own earlier contents.
  using Identity = std::array<int64_t, 5>;
  Identity IdentityNow() const;

  std::filesystem::path path_;
  Identity identity_;
};

// Writes the text to a new file beside `path`, which its user only can read: PATH.bak, else
// PATH.bak2 and so on. Returns its path, or that of an earlier copy with the same text. Throws
// Error if the file cannot be written.
std::filesystem::path KeepCopy(const std::filesystem::path& path, std::string_view text);

// Returns whether there is something at this path other than an empty file.
bool HasContents(const std::filesystem::path& path);

}  // namespace sinter::cli

// Conversations on disk, as --messages reads them: /save, /load and --session.
#pragma once

#include <filesystem>
#include <string>

#include "generate/messages.h"

namespace sinter::cli {

// Returns the JSON of the messages: an array with a line for each, or with tools (JSON text of an
// array) an object with messages and tools.
std::string ConversationText(const generate::Messages& messages, const std::string& tools_json);

// Returns whether there is something at this path other than an empty file.
bool HasContents(const std::filesystem::path& path);

}  // namespace sinter::cli

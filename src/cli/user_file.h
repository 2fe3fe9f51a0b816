// Writes files that the user keeps, so that a crash or a full disk never destroys what was there.
#pragma once

#include <filesystem>
#include <string_view>

namespace sinter::cli {

// Replaces the file as a whole: the text goes to a new file beside it, which then takes its name. A
// symbolic link stays, and the file that it names is replaced. A new file has `mode` less the
// umask; a file that is there keeps its own. Throws Error("cli", "PATH: got X, want ...") if the
// path is something else than a file or cannot be written; what was there is then untouched.
void ReplaceUserFile(const std::filesystem::path& path, std::string_view text, int mode = 0666);

// Returns the path that a user means, with `~/` for the home folder.
std::filesystem::path UserPath(std::string_view text);

}  // namespace sinter::cli

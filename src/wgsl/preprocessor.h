// Expands a WGSL file: `#include "path"` and `#if NAME` / `#if !NAME` / `#else` / `#endif`, and
// nothing else. Keeps a line map, so that a compiler's message can name the file and line that a
// person wrote. Knows no WebGPU.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::wgsl {

// The text of the file at `path`, or nothing where there is no such file.
using SourceResolver = std::function<std::optional<std::string>(std::string_view path)>;

struct ExpandedWgsl {
  struct Origin {
    uint32_t file = 0;  // Index into `files`.
    uint32_t line = 0;  // From 1.
  };

  std::string source;
  std::vector<std::string> files;
  // origins[i] is where line i + 1 of `source` comes from. `enable` lines and the prelude belong to
  // `<enable>` and
  // `<prelude>`.
  std::vector<Origin> origins;
};

// Expands the file `root`. The result starts with `enable NAME;` for each of `extensions` (WGSL
// wants them before everything else), then `prelude`, then the file.
//
// A directive is a line whose first non-blank character is `#`; a `//` comment may follow it. A
// file is included once, where it is first named; `#if` is true where `defines` holds the name, and
// never nested.
//
// Throws Error (area `wgsl`, with file:line): a missing file, a cycle of includes, an unknown or
// malformed directive, a nested or unbalanced `#if`.
ExpandedWgsl ExpandWgsl(const SourceResolver& resolve, std::string_view root,
                        const std::vector<std::string>& defines, std::string_view prelude = {},
                        const std::vector<std::string>& extensions = {});

// `message` of a WGSL compiler with every `:LINE:COL` of the expanded source turned into
// `file:LINE:COL` of the file that was written. Where the message does not quote the line, the line
// and a caret follow.
std::string MapMessage(const ExpandedWgsl& wgsl, std::string_view message);

}  // namespace sinter::wgsl

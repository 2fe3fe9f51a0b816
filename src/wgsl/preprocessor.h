// Expands a WGSL file: `#include "path"`, `#if NAME` / `#if !NAME` / `#else` / `#endif`, `#repeat`
// /
// `#endrepeat`, and nothing else. Keeps a line map, so that a compiler's message can name the file
// and line that a person wrote (message.h). Knows no WebGPU.
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
  // `<enable>` and `<prelude>`. All copies of a repeated line come from that line.
  std::vector<Origin> origins;
};

// Expands the file `root`. The result starts with `enable NAME;` for each of `extensions` (WGSL
// wants them before everything else), then `prelude`, then the file.
//
// A directive is a line whose first non-blank character is `#`; a `//` comment may follow it. A
// file is included once, where it is first named; `#if` is true where `defines` holds the name, and
// never nested.
//
// `#repeat` writes the lines up to `#endrepeat` once for each of its values, with `$` and its
// letter replaced by the value, also inside an identifier:
//
//   #repeat i 1..4
//     if (kRows > $i) { sums_$i += dot(row_$i, x); }
//   #endrepeat
//
// Values are words (`#repeat c x y z w`) and ranges BEGIN..END without END, whose bounds are
// numbers or constants that the prelude has as `const NAME = NUMBERu;`. A body may hold one more
// level of
// `#repeat` and whole `#if`s, but no `#include`.
//
// Throws Error (area `wgsl`, with file:line): a missing file, a cycle of includes, an unknown,
// malformed or unbalanced directive, an `#if` in an `#if`, an `#include` or a third level of
// `#repeat` in a `#repeat`.
ExpandedWgsl ExpandWgsl(const SourceResolver& resolve, std::string_view root,
                        const std::vector<std::string>& defines, std::string_view prelude = {},
                        const std::vector<std::string>& extensions = {});

}  // namespace sinter::wgsl

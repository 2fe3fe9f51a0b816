// Expands a WGSL file. The only directives are `#include "path"`, `#if NAME`, `#if !NAME`, `#else`,
// `#endif`, `#repeat` and `#endrepeat`. Keeps a line map, so that message.h can name the original
// file and line in a compiler's message. Does not depend on WebGPU.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::wgsl {

// Returns the text of the file at `path`, or nullopt if there is no such file.
using SourceResolver = std::function<std::optional<std::string>(std::string_view path)>;

struct ExpandedWgsl {
  struct Origin {
    uint32_t file = 0;  // Index into `files`.
    uint32_t line = 0;  // Starts at 1.
  };

  std::string source;
  std::vector<std::string> files;
  // Origin of each line: origins[i] belongs to line i + 1 of `source`. `enable` lines and the
  // prelude have the files `<enable>` and `<prelude>`. All copies of a repeated line share the
  // origin of that line.
  std::vector<Origin> origins;
};

// Expands the file `root`. The result starts with `enable NAME;` for each of `extensions` (WGSL
// requires these first), followed by `prelude` and the file.
//
// A directive is a line whose first non-blank character is `#`; a `//` comment may follow it. Each
// file is included once, at its first `#include`. `#if NAME` is true if `defines` contains the
// name. `#if` must not be nested.
//
// `#repeat` writes the lines up to `#endrepeat` once per value. In each copy the value replaces `$`
// followed by the loop's letter, even inside an identifier:
//
//   #repeat i 1..4
//     if (kRows > $i) { sums_$i += dot(row_$i, x); }
//   #endrepeat
//
// Values are words (`#repeat c x y z w`) or ranges BEGIN..END, which exclude END. The bounds of a
// range are numbers or constants that the prelude declares as `const NAME = NUMBERu;`. A body may
// contain one more level of `#repeat` and complete `#if` blocks, but no `#include`.
//
// Throws Error (area `wgsl`, with file:line) on a missing file, an include cycle, an unknown,
// malformed or unbalanced directive, a nested `#if`, and an `#include` or a third level of
// `#repeat` inside a `#repeat`.
ExpandedWgsl ExpandWgsl(const SourceResolver& resolve, std::string_view root,
                        const std::vector<std::string>& defines, std::string_view prelude = {},
                        const std::vector<std::string>& extensions = {});

}  // namespace sinter::wgsl

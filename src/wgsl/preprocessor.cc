#include "wgsl/preprocessor.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace sinter::wgsl {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWord(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

// Takes the first line, without its end, off `text`.
std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

class Expander {
 public:
  Expander(const SourceResolver& resolve, const std::vector<std::string>& defines)
      : resolve_(resolve), defines_(defines) {}

  // Appends text that is not looked into: its `#` would be the compiler's business.
  void AddPlain(std::string_view name, std::string_view text) {
    if (text.empty()) return;
    const uint32_t file = AddFile(name);
    for (uint32_t line = 1; !text.empty(); ++line) AddLine(TakeLine(text), {file, line});
  }

  // `from` names who asks, for the error.
  void AddSource(std::string_view path, const std::string& from) {
    if (std::find(open_.begin(), open_.end(), path) != open_.end()) {
      throw Error("wgsl", "{}: include: got a cycle through {}, want none", from, path);
    }
    if (std::find(out_.files.begin(), out_.files.end(), path) != out_.files.end()) return;
    const std::optional<std::string> text = resolve_(path);
    if (!text) throw Error("wgsl", "{}: file: got no file {}, want one", from, path);
    open_.emplace_back(path);
    Condition condition;
    std::string_view rest = *text;
    ExpandedWgsl::Origin origin{AddFile(path), 1};
    for (; !rest.empty(); ++origin.line) {
      const std::string_view line = TakeLine(rest);
      const std::string_view trimmed = Trim(line);
      if (trimmed.starts_with('#')) {
        Directive(trimmed, origin, condition);
      } else if (condition.active) {
        AddLine(line, origin);
      }
    }
    if (condition.start != 0) {
      throw Error("wgsl", "{}: #if: got no #endif, want one",
                  Where({origin.file, condition.start}));
    }
    open_.pop_back();
  }

  ExpandedWgsl Take() { return std::move(out_); }

 private:
  // The `#if` that the current line is in: `start` is its line, 0 outside.
  struct Condition {
    uint32_t start = 0;
    bool has_else = false;
    bool active = true;
  };

  uint32_t AddFile(std::string_view name) {
    out_.files.emplace_back(name);
    return static_cast<uint32_t>(out_.files.size() - 1);
  }

  void AddLine(std::string_view line, ExpandedWgsl::Origin origin) {
    out_.source.append(line).push_back('\n');
    out_.origins.push_back(origin);
  }

  std::string Where(ExpandedWgsl::Origin origin) const {
    return fmt::format("{}:{}", out_.files[origin.file], origin.line);
  }

  void Directive(std::string_view text, ExpandedWgsl::Origin origin, Condition& condition) {
    const std::string where = Where(origin);
    size_t end = 1;
    while (end < text.size() && IsWord(text[end])) ++end;
    const std::string_view word = text.substr(0, end);
    std::string_view argument = Trim(text.substr(end));
    // A path may hold `//` within its quotes, a comment only after them.
    const size_t quote = argument.starts_with('"') ? argument.find('"', 1) : 0;
    argument = Trim(argument.substr(0, argument.find("//", quote)));
    if (word == "#include") {
      if (argument.size() < 3 || argument[0] != '"' || quote != argument.size() - 1) {
        throw Error("wgsl", "{}: #include: got '{}', want a path in quotes", where, argument);
      }
      if (condition.active) AddSource(argument.substr(1, argument.size() - 2), where);
    } else if (word == "#if") {
      if (condition.start != 0) {
        throw Error("wgsl", "{}: #if: got one in that of line {}, want none", where,
                    condition.start);
      }
      const bool negated = argument.starts_with('!');
      const std::string_view name = argument.substr(negated);
      if (name.empty() || IsDigit(name[0]) || !std::all_of(name.begin(), name.end(), IsWord)) {
        throw Error("wgsl", "{}: #if: got '{}', want NAME or !NAME", where, argument);
      }
      const bool defined = std::find(defines_.begin(), defines_.end(), name) != defines_.end();
      condition = {origin.line, false, defined != negated};
    } else if (word == "#else" || word == "#endif") {
      if (!argument.empty()) {
        throw Error("wgsl", "{}: after {}: got '{}', want nothing", where, word, argument);
      }
      if (condition.start == 0 || (word == "#else" && condition.has_else)) {
        throw Error("wgsl", "{}: {}: got one without its #if, want a pair", where, word);
      }
      // After #endif every line counts again.
      condition =
          word == "#else" ? Condition{condition.start, true, !condition.active} : Condition{};
    } else {
      throw Error("wgsl", "{}: directive: got '{}', want include, if, else or endif", where, word);
    }
  }

  const SourceResolver& resolve_;
  const std::vector<std::string>& defines_;
  std::vector<std::string> open_;  // Files from the root to the current one.
  ExpandedWgsl out_;
};

std::string_view LineOf(std::string_view text, uint32_t number) {
  for (; number > 1; --number) TakeLine(text);
  return TakeLine(text);
}

}  // namespace

ExpandedWgsl ExpandWgsl(const SourceResolver& resolve, std::string_view root,
                        const std::vector<std::string>& defines, std::string_view prelude,
                        const std::vector<std::string>& extensions) {
  std::string enables;
  for (const std::string& extension : extensions) enables += fmt::format("enable {};\n", extension);
  Expander expander(resolve, defines);
  expander.AddPlain("<enable>", enables);
  expander.AddPlain("<prelude>", prelude);
  expander.AddSource(root, "<root>");
  return expander.Take();
}

std::string MapMessage(const ExpandedWgsl& wgsl, std::string_view message) {
  std::string out;
  for (std::string_view rest = message; !rest.empty();) {
    const bool ends_line = rest.find('\n') != std::string_view::npos;
    const std::string_view line = TakeLine(rest);
    std::string quoted;
    for (size_t at = 0; at < line.size();) {
      // `:LINE:COL` with no file name of its own before it.
      uint32_t number = 0, column = 0;
      const char* const end = line.data() + line.size();
      const char* after = nullptr;
      if (line[at] == ':' && (at == 0 || !IsWord(line[at - 1]))) {
        const auto first = std::from_chars(line.data() + at + 1, end, number);
        if (first.ec == std::errc() && first.ptr != end && *first.ptr == ':') {
          const auto second = std::from_chars(first.ptr + 1, end, column);
          if (second.ec == std::errc()) after = second.ptr;
        }
      }
      if (after == nullptr || number == 0 || number > wgsl.origins.size()) {
        out.push_back(line[at++]);
        continue;
      }
      const ExpandedWgsl::Origin origin = wgsl.origins[number - 1];
      out += fmt::format("{}:{}:{}", wgsl.files[origin.file], origin.line, column);
      const std::string_view source = LineOf(wgsl.source, number);
      if (rest.find(Trim(source)) == std::string_view::npos) {
        quoted += fmt::format("\n{}\n{:>{}}", source, '^', std::max(column, 1u));
      }
      at = after - line.data();
    }
    out += quoted;
    if (ends_line) out.push_back('\n');
  }
  return out;
}

}  // namespace sinter::wgsl

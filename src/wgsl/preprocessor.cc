#include "wgsl/preprocessor.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "wgsl/text.h"

namespace sinter::wgsl {
namespace {

// Removes the first word and the blanks around it from `text`, and returns the word.
std::string_view TakeWord(std::string_view& text) {
  text = Trim(text);
  const std::string_view word = text.substr(0, text.find_first_of(" \t"));
  text = Trim(text.substr(word.size()));
  return word;
}

struct Directive {
  std::string_view word;  // Includes the `#`; empty if the line is no directive.
  std::string_view argument;
};

Directive Parse(std::string_view line) {
  line = Trim(line);
  if (!line.starts_with('#')) return {};
  const auto end = std::find_if_not(line.begin() + 1, line.end(), IsWord);
  const std::string_view word = line.substr(0, end - line.begin());
  const std::string_view argument = Trim(line.substr(word.size()));
  // Searches for a comment only after the closing quote, because a path may contain `//`.
  const size_t quote = argument.starts_with('"') ? argument.find('"', 1) : 0;
  return {word, Trim(argument.substr(0, argument.find("//", quote)))};
}

class Expander {
 public:
  Expander(const SourceResolver& resolve, const std::vector<std::string>& defines,
           std::string_view prelude)
      : resolve_(resolve), defines_(defines), prelude_(prelude) {}

  // Appends text without expanding it. A `#` in it is left to the WGSL compiler.
  void AddPlain(std::string_view name, std::string_view text) {
    if (text.empty()) return;
    const uint32_t file = AddFile(name);
    for (uint32_t line = 1; !text.empty(); ++line) AddLine(TakeLine(text), {file, line});
  }

  // Appends the expanded file at `path`. Errors name `from` as the place that includes it.
  void AddSource(std::string_view path, const std::string& from) {
    if (std::find(open_.begin(), open_.end(), path) != open_.end()) {
      throw Error("wgsl", "{}: include: got a cycle through {}, want none", from, path);
    }
    if (std::find(out_.files.begin(), out_.files.end(), path) != out_.files.end()) return;
    const std::optional<std::string> text = resolve_(path);
    if (!text) throw Error("wgsl", "{}: file: got nothing at {}, want a file", from, path);
    open_.emplace_back(path);
    AddLines(*text, {AddFile(path), 1}, Condition());
    open_.pop_back();
  }

  ExpandedWgsl Take() { return std::move(out_); }

 private:
  using Origin = ExpandedWgsl::Origin;

  // The `#if` around the current line. `start` is the line of the `#if`, or 0 outside of any.
  struct Condition {
    uint32_t start = 0;
    bool has_else = false;
    bool active = true;
  };

  uint32_t AddFile(std::string_view name) {
    out_.files.emplace_back(name);
    return static_cast<uint32_t>(out_.files.size() - 1);
  }

  void AddLine(std::string_view line, Origin origin) {
    out_.source.append(line).push_back('\n');
    out_.origins.push_back(origin);
  }

  std::string Where(Origin origin) const {
    return fmt::format("{}:{}", out_.files[origin.file], origin.line);
  }

  // Expands a file, or one copy of a `#repeat` body. `first` is the origin of its first line and
  // `condition` the `#if` around the body.
  void AddLines(std::string_view text, Origin first, Condition condition) {
    for (Origin origin = first; !text.empty(); ++origin.line) {
      const std::string line = Substitute(TakeLine(text));
      const Directive directive = Parse(line);
      if (directive.word.empty()) {
        if (condition.active) AddLine(line, origin);
      } else if (directive.word == "#repeat") {
        const std::string_view body = TakeBody(text, origin);
        if (condition.active) Repeat(directive.argument, body, origin, condition);
        // Skips the body's lines and its #endrepeat.
        origin.line += static_cast<uint32_t>(std::count(body.begin(), body.end(), '\n')) + 1;
      } else {
        Follow(directive, origin, first.line, condition);
      }
    }
    if (condition.start >= first.line) {
      throw Error("wgsl", "{}: #if: got no #endif, want one", Where({first.file, condition.start}));
    }
  }

  // Executes any directive except `#repeat`. `first_line` is the first line of the enclosing file
  // or `#repeat` body.
  void Follow(Directive directive, Origin origin, uint32_t first_line, Condition& condition) {
    const auto [word, argument] = directive;
    const std::string where = Where(origin);
    if (word == "#include") {
      if (argument.size() < 3 || argument[0] != '"' ||
          argument.find('"', 1) != argument.size() - 1) {
        throw Error("wgsl", "{}: #include: got '{}', want a path in quotes", where, argument);
      }
      if (condition.active) AddSource(argument.substr(1, argument.size() - 2), where);
    } else if (word == "#if") {
      if (condition.start != 0) {
        throw Error("wgsl", "{}: #if: got one inside that of line {}, want no nesting", where,
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
      if (condition.start < first_line || (word == "#else" && condition.has_else)) {
        throw Error("wgsl", "{}: {}: got one without its #if, want a pair", where, word);
      }
      // After #endif all lines are active again.
      condition =
          word == "#else" ? Condition{condition.start, true, !condition.active} : Condition{};
    } else if (word == "#endrepeat") {
      throw Error("wgsl", "{}: #endrepeat: got one without its #repeat, want a pair", where);
    } else {
      throw Error("wgsl",
                  "{}: directive: got '{}', want include, if, else, endif, repeat or "
                  "endrepeat",
                  where, word);
    }
  }

  // Removes the lines up to and including the `#endrepeat` that ends the `#repeat` at `origin` from
  // `text`. Returns the lines before that `#endrepeat`.
  std::string_view TakeBody(std::string_view& text, Origin origin) const {
    const std::string_view all = text;
    const std::string where = Where(origin);
    for (int depth = 1; !text.empty();) {
      const std::string_view body = all.substr(0, all.size() - text.size());
      const std::string_view word = Parse(TakeLine(text)).word;
      ++origin.line;
      if (word == "#include" || (word == "#repeat" && depth == 2)) {
        throw Error("wgsl", "{}: {}: got one inside the #repeat at {}, want no nesting",
                    Where(origin), word, where);
      }
      depth += (word == "#repeat") - (word == "#endrepeat");
      if (depth == 0) return body;
    }
    throw Error("wgsl", "{}: #repeat: got no #endrepeat, want one", where);
  }

  void Repeat(std::string_view argument, std::string_view body, Origin origin,
              const Condition& condition) {
    std::string_view rest = argument;
    const std::string name = fmt::format("${}", TakeWord(rest));
    bool valid = name.size() == 2 && IsWord(name[1]) && !rest.empty();
    for (const auto& [other, value] : variables_) valid = valid && other != name;
    std::vector<std::string> values;
    while (valid && !rest.empty()) {
      const std::string_view item = TakeWord(rest);
      const size_t dots = item.find("..");
      if (dots == std::string_view::npos) {
        values.emplace_back(item);
        continue;
      }
      const auto begin = Number(item.substr(0, dots)), end = Number(item.substr(dots + 2));
      valid = begin && end && *begin <= *end;
      for (uint32_t i = begin.value_or(0); valid && i < *end; ++i)
        values.push_back(std::to_string(i));
    }
    if (!valid) {
      throw Error("wgsl", "{}: #repeat: got '{}', want a new letter and words or ranges",
                  Where(origin), argument);
    }
    for (const std::string& value : values) {
      variables_.emplace_back(name, value);
      AddLines(body, {origin.file, origin.line + 1}, condition);
      variables_.pop_back();
    }
  }

  // Returns the value of a number or of the prelude's `const NAME = NUMBERu;`.
  std::optional<uint32_t> Number(std::string_view text) const {
    if (text.empty()) return std::nullopt;
    if (!IsDigit(text[0])) {
      const std::string begin = fmt::format("const {} = ", text);
      const size_t at = prelude_.find(begin);
      if (at == std::string_view::npos) return std::nullopt;
      text = prelude_.substr(at + begin.size());
      text = text.substr(0, text.find("u;"));
    }
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
  }

  std::string Substitute(std::string_view line) const {
    std::string out(line);
    for (const auto& [name, value] : variables_) {
      for (size_t at = 0; (at = out.find(name, at)) != std::string::npos; at += value.size())
        out.replace(at, name.size(), value);
    }
    return out;
  }

  const SourceResolver& resolve_;
  const std::vector<std::string>& defines_;
  const std::string_view prelude_;
  std::vector<std::string> open_;  // Chain of open files from the root to the current one.
  // Name (including `$`) and value for each `#repeat` around the line.
  std::vector<std::pair<std::string, std::string>> variables_;
  ExpandedWgsl out_;
};

}  // namespace

ExpandedWgsl ExpandWgsl(const SourceResolver& resolve, std::string_view root,
                        const std::vector<std::string>& defines, std::string_view prelude,
                        const std::vector<std::string>& extensions) {
  std::string enables;
  for (const std::string& extension : extensions) enables += fmt::format("enable {};\n", extension);
  Expander expander(resolve, defines, prelude);
  expander.AddPlain("<enable>", enables);
  expander.AddPlain("<prelude>", prelude);
  expander.AddSource(root, "<root>");
  return expander.Take();
}

}  // namespace sinter::wgsl

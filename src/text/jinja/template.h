// Jinja templates, as transformers sets Jinja2 3.1 up for chat templates: trim_blocks and
// lstrip_blocks on, the loop controls break and continue, the tag generation, a sandbox in which
// values do not change, and the functions raise_exception and strftime_now.
//
// Left out, each with an error: the filters pprint, random, striptags, urlize and wordwrap;
// lipsum(); escaping of all output; tags that load other templates.
//
// lexer.h -> parser.h -> ast.h, evaluated by interpreter.h with values (value.h, object.h,
// operations.h), filters, tests and functions (filters.h) and methods (methods.h). runtime.h bounds
// what a rendering may use.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/template_error.h"
#include "text/jinja/value.h"

namespace sinter::text::jinja {

struct SyntaxTree;

// Parsed template. Immutable and cheap to copy; several threads may render it at once.
class Template {
 public:
  // Throws TemplateError on a syntax error, or if the source exceeds 4 MiB or nests deeper than
  // about a hundred levels.
  static Template Parse(std::string_view source);

 private:
  friend class Rendering;
  explicit Template(std::shared_ptr<const SyntaxTree> tree) : tree_(std::move(tree)) {}

  std::shared_ptr<const SyntaxTree> tree_;
};

// One rendering of a template.
class Rendering {
 public:
  Rendering(const Template& source, Runtime::Time now, const Limits& limits = {});
  ~Rendering();

  // Makes the values for the variables; they live as long as the rendering.
  Runtime& runtime();
  void Set(std::string_view name, Value value);
  // Returns the text. Throws TemplateError with the line.
  std::string Run();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sinter::text::jinja

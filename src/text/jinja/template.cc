#include "text/jinja/template.h"

#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

constexpr size_t kMaxSourceBytes = size_t{4} << 20;

}  // namespace

Template Template::Parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes) {
    Fail("got {} bytes, want at most {}", source.size(), kMaxSourceBytes);
  }
  return Template(std::make_shared<const SyntaxTree>(jinja::Parse(SanitizeUtf8(source))));
}

struct Rendering::State {
  State(const Template& source, Runtime::Time now, const Limits& limits)
      : tree(source.tree_), runtime(now, limits), interpreter(*tree, runtime) {}

  std::shared_ptr<const SyntaxTree> tree;
  Runtime runtime;
  Interpreter interpreter;
};

Rendering::Rendering(const Template& source, Runtime::Time now, const Limits& limits)
    : state_(std::make_unique<State>(source, now, limits)) {}

Rendering::~Rendering() = default;

Runtime& Rendering::runtime() { return state_->runtime; }

void Rendering::Set(std::string_view name, Value value) {
  state_->interpreter.SetVariable(name, std::move(value));
}

std::string Rendering::Run() {
  try {
    return state_->interpreter.Run();
  } catch (TemplateError& error) {
    if (error.line() == 0) error.set_line(state_->interpreter.line());
    throw;
  }
}

}  // namespace sinter::text::jinja
